"""Encrypted checkpoints: each channel is encrypted for its thread and its name before a saver sees it."""

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata, CheckpointTuple

from mirror_graph.encryption import Keyring, is_sealed
from mirror_graph.storage.serde import CompressedSerializer

Number = int | float | bool | None
"""What stays in clear: turn numbers and schema versions, which PostgreSQL's saver stores next to the checkpoint."""


class CheckpointSeal:
    """Encrypts and decrypts the channels of checkpoints, whichever saver stores them.

    Without a key it encrypts nothing. It always reads both forms, so old checkpoints in clear are read, and are
    encrypted as they are written again.
    """

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self._serde = CompressedSerializer()

    def seal(self, checkpoint: Checkpoint, config: RunnableConfig) -> Checkpoint:
        """Return a checkpoint to be stored at `config`, with its channels encrypted."""
        if not self.keyring:
            return checkpoint
        values = checkpoint["channel_values"]
        sealed = {name: self._sealed(value, _place(config, name)) for name, value in values.items()}
        return {**checkpoint, "channel_values": sealed}

    def open(self, found: CheckpointTuple) -> CheckpointTuple:
        """Return a stored checkpoint with its channels decrypted. Raises the errors of `Keyring.open`."""
        values = found.checkpoint["channel_values"]
        opened = {name: self._opened(value, _place(found.config, name)) for name, value in values.items()}
        return found._replace(checkpoint={**found.checkpoint, "channel_values": opened})

    def is_current(self, found: CheckpointTuple) -> bool:
        """Say whether the first key encrypted every channel of a stored checkpoint."""
        values = found.checkpoint["channel_values"].values()
        return all(
            isinstance(value, Number) or (is_sealed(value) and self.keyring.is_current(value)) for value in values
        )

    def seal_value(self, value: Any, place: tuple[str, ...]) -> bytes:
        """Encrypt any value that a checkpoint may hold."""
        kind, plain = self._serde.dumps_authenticated(value)
        return self.keyring.seal(f"{kind}\n".encode() + plain, place)

    def open_value(self, sealed: bytes, place: tuple[str, ...]) -> Any:
        """Return what `seal_value` was given. Raises the errors of `Keyring.open`."""
        kind, _, plain = self.keyring.open(sealed, place).partition(b"\n")
        return self._serde.loads_typed((kind.decode(), plain))

    def _sealed(self, value: Any, place: tuple[str, ...]) -> Any:
        return value if isinstance(value, Number) else self.seal_value(value, place)

    def _opened(self, value: Any, place: tuple[str, ...]) -> Any:
        return self.open_value(value, place) if is_sealed(value) else value


def bare_config(config: RunnableConfig) -> RunnableConfig:
    """Return a config that names a checkpoint and nothing else: savers store a run's metadata in clear."""
    names = ("thread_id", "checkpoint_ns", "checkpoint_id")
    configurable = config.get("configurable", {})
    return {"configurable": {name: configurable[name] for name in names if name in configurable}}


def bare_metadata(metadata: CheckpointMetadata) -> CheckpointMetadata:
    """Return what LangGraph itself reads of a checkpoint's metadata."""
    bare: CheckpointMetadata = {}
    if "source" in metadata:
        bare["source"] = metadata["source"]
    if "step" in metadata:
        bare["step"] = metadata["step"]
    if "parents" in metadata:
        bare["parents"] = metadata["parents"]
    return bare


def _place(config: RunnableConfig, channel: str) -> tuple[str, ...]:
    configurable = config.get("configurable", {})
    return "checkpoint", str(configurable["thread_id"]), str(configurable.get("checkpoint_ns", "")), channel
