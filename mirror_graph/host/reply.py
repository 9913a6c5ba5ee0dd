"""A reply, whole or piece by piece."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from langgraph.constants import TAG_NOSTREAM

from mirror_graph.models import FinishReason
from mirror_graph.prompts import may_be_echo, strip_leading_tags
from mirror_graph.state import Tokens
from mirror_graph.state.usage import usage_of
from mirror_graph.state.values import Guarded


@dataclass(frozen=True)
class Reply:
    """One reply.

    It answers `turn`, and it started from the narrative of `narrative_turn`: the last `lag` turns before it had not
    been thought about yet. `usage` holds the tokens of this call. `finish_reason` says why the reply ended: `"stop"`,
    or `"length"` and `"content_filter"` if it was cut, `"refusal"` if the model declined, and `"unknown"` if the
    provider does not say. `guarded` has one entry per constraint for which the guard added something.
    """

    text: str
    turn: int
    narrative_turn: int
    lag: int
    usage: Tokens
    finish_reason: FinishReason = "unknown"
    guarded: tuple[Guarded, ...] = ()

    @classmethod
    def of(cls, message: AIMessage) -> "Reply":
        """Read a reply from the talker's message."""
        mirror = message.response_metadata["mirror"]
        return cls(
            text=message.text,
            turn=mirror["turn"],
            narrative_turn=mirror["narrative_turn"],
            lag=mirror["lag"],
            usage=usage_of(message),
            finish_reason=mirror["finish_reason"],
            guarded=tuple(mirror.get("guarded", ())),
        )


class LeadingTagFilter:
    """Holds back the beginning of a reply while it may be one of MIRROR's own tags, which users must not see."""

    def __init__(self) -> None:
        self._held: str | None = ""

    def take(self, piece: str) -> str:
        """Return what may be shown now that `piece` has come."""
        if self._held is None:
            return piece
        self._held += piece
        return "" if may_be_echo(self._held) else self.rest()

    def rest(self) -> str:
        """Return what is held back, and hold back nothing any more."""
        shown, self._held = strip_leading_tags(self._held or ""), None
        return shown


class PieceHandler(BaseCallbackHandler):
    """Passes on the pieces of the talker's answer at once, in the talker's own task.

    LangGraph's stream of messages starts a task and wakes the event loop for each piece, which took more processor time
    than the rest of a piece's way to the user.
    """

    run_inline = True

    @property
    def ignore_chat_model(self) -> bool:
        """Say that the prompts of chat models are of no interest."""
        return True

    @property
    def ignore_chain(self) -> bool:
        """Say that the steps of graphs are of no interest."""
        return True

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send

    def on_llm_new_token(
        self,
        token: Any,
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Send the text of a piece, unless a call of another component gave it."""
        if isinstance(chunk, ChatGenerationChunk) and TAG_NOSTREAM not in (tags or ()):
            self._send(chunk.message.text)


class ReplyStream:
    """The pieces of a reply as the model emits them; after the last one, `reply` is the whole reply."""

    def __init__(self, pieces: AsyncGenerator[str | Reply]) -> None:
        self._pieces = pieces
        self._reply: Reply | None = None

    def __aiter__(self) -> AsyncIterator[str]:
        """Iterate over the pieces of text."""
        return self.pieces()

    @property
    def reply(self) -> Reply:
        """The whole reply. Raises `RuntimeError` before the last piece."""
        if self._reply is None:
            raise RuntimeError("the reply is not complete: iterate over all of its pieces first")
        return self._reply

    async def pieces(self) -> AsyncGenerator[str]:
        """Return the pieces of text; closing the generator ends the turn."""
        async with aclosing(self._pieces) as pieces:  # a reader who stops early ends the turn
            async for piece in pieces:
                if isinstance(piece, Reply):
                    self._reply = piece
                else:
                    yield piece
