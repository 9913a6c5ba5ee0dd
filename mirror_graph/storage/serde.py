"""How checkpoints are written: strict msgpack, compressed."""

from typing import Any

import zstandard
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

MARK = "+zstd"
WORTH_IT = 512
"""Bytes under which compression gains nothing."""


class CompressedSerializer(JsonPlusSerializer):
    """Writes what LangGraph's own serializer writes, compressed, and reads either form.

    Only plain values and LangChain messages can be read back (strict msgpack, no pickle): a database that
    somebody else has written to runs no code here.
    """

    def __init__(self) -> None:
        super().__init__(pickle_fallback=False, allowed_msgpack_modules=None)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the type and the bytes of a value."""
        kind, written = super().dumps_typed(obj)
        if len(written) < WORTH_IT:
            return kind, written
        return kind + MARK, zstandard.compress(written)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of a type and bytes."""
        kind, written = data
        if kind.endswith(MARK):
            kind, written = kind.removesuffix(MARK), zstandard.decompress(written)
        return super().loads_typed((kind, written))
