"""How checkpoints are written: strict msgpack, messages in columns, compressed."""

from typing import Any

import zstandard
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from mirror_graph.storage.packing import pack, unpack

MARK = "+zstd"
WORTH_IT = 512
"""Bytes under which compression gains nothing."""

LEVEL = 6
"""3 % smaller than zstd's own choice, for a millisecond a full window; the next 3 % take five."""


class CompressedSerializer(JsonPlusSerializer):
    """Writes messages in columns and all else as LangGraph's own serializer does, compressed; reads either form.

    Only plain values and LangChain messages can be read back (strict msgpack, no pickle): a database that
    somebody else has written to runs no code here.
    """

    def __init__(self) -> None:
        super().__init__(pickle_fallback=False, allowed_msgpack_modules=None)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the type and the bytes of a value."""
        kind, written = super().dumps_typed(pack(obj))
        if len(written) < WORTH_IT:
            return kind, written
        return kind + MARK, zstandard.compress(written, LEVEL)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of a type and bytes."""
        kind, written = data
        if kind.endswith(MARK):
            kind, written = kind.removesuffix(MARK), zstandard.decompress(written)
        return unpack(super().loads_typed((kind, written)))
