"""What the guard does with one reply: which pieces pass, and what is added at its end.

A watch does not know how a model is called, so a stream and a whole reply are watched alike, with an event loop or
without one. Its own failures are counted, and cost no reply.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from mirror_graph.guard.note import marks_of, wording_of, write_note
from mirror_graph.guard.reading import Case, Finding, ReplyReader
from mirror_graph.models import REASONED_ABOVE
from mirror_graph.state.values import Guarded

Rule = Callable[[Sequence[Finding], str], str]
"""Write a note for findings, in the language of an ISO 639-1 code; `""` lets the reply pass as it is."""

Pieces = Iterator[ChatGenerationChunk]

NO_FINDINGS: list[Finding] = []

PARAGRAPH = "\n\n"
"""What stands between two paragraphs of a reply."""

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Watch:
    """Lets each piece pass at once, and adds a note at the end of a reply that needs one.

    `rule` writes the note instead of the package's own rule.
    """

    def __init__(self, read_case: Callable[[], Case], rule: Rule | None = None) -> None:
        self._read_case = read_case
        self._rule = rule
        self._reader: ReplyReader | None = None
        self._has_text = False
        self._has_tool_calls = False
        self._has_blocks = False
        self._failure = ""

    def wants_opening(self) -> bool:
        """Say whether the reply is to be opened before the model is asked."""
        return False

    def open(self, *, continues: bool) -> Pieces:
        """Return the opening. `continues` says whether the model goes on from it."""
        return iter(())

    def prompt(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Return what the model is asked."""
        return messages

    def prepare(self) -> None:
        """Read what the reply is read against, if that has not been done."""
        self._attempt(self._ready_reader, None)

    def take(self, chunk: ChatGenerationChunk) -> Pieces:
        """Pass a piece of the reply on, and read it once it has gone out."""
        yield not_last(chunk)
        self._read(chunk)

    def wants_retry(self) -> bool:
        """Say whether the model is to be asked again, now that its reply has ended."""
        return False

    def end(self) -> Pieces:
        """Return what is added at the end of the reply."""
        findings = self._attempt(self._findings_at_end, NO_FINDINGS)
        note = self._attempt(lambda: self._note(findings), "") if findings else ""
        if note:
            yield self._piece(self._paragraph(note), marks_of(findings, "note"))
        elif self._failure:
            yield self._piece("", [])

    @cached_property
    def _case(self) -> Case:
        return self._read_case()

    def _read(self, chunk: ChatGenerationChunk) -> None:
        message = chunk.message
        self._has_blocks = self._has_blocks or isinstance(message.content, list)
        if REASONED_ABOVE in message.additional_kwargs:
            self._reader = None
        if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
            self._has_tool_calls = True
        text = message.text
        if text:
            self._has_text = True
            self._attempt(lambda: self._ready_reader().feed(text), None)

    def _ready_reader(self) -> ReplyReader:
        if self._reader is None:
            self._reader = ReplyReader(lambda: self._case)
        return self._reader

    def _findings_at_end(self) -> list[Finding]:
        # A reply of nothing but tool calls says nothing, and there is a reply yet to come.
        return self._ready_reader().end(is_final=not self._has_tool_calls) if self._has_text else []

    def _note(self, findings: Sequence[Finding]) -> str:
        wording = wording_of(self._case.request.text, findings)
        if self._rule:
            return self._rule(findings, wording.code)
        return write_note(findings, wording)

    def _attempt(self, action: Callable[[], _Result], otherwise: _Result) -> _Result:
        """Do something of the guard's own. If it fails, that is counted, and the guard leaves the reply alone."""
        if self._failure:
            return otherwise
        try:
            return action()
        except Exception as error:
            self._failure = type(error).__name__
            _log.warning("the guard failed with %s; the reply is unchanged", self._failure)
            return otherwise

    def _paragraph(self, text: str) -> str:
        return f"{PARAGRAPH}{text}" if self._has_text else text

    def _piece(self, text: str, marks: list[Guarded]) -> ChatGenerationChunk:
        """Return a piece of the guard's own, in the form of the reply's other pieces."""
        mirror: dict[str, Any] = {"guarded": marks} if marks else {}
        if self._failure:
            mirror["guard_failure"] = self._failure
        content: str | list[str | dict[Any, Any]] = text
        if self._has_blocks:
            content = [{"type": "text", "text": text}] if text else []
        metadata = {"mirror": mirror} if mirror else {}
        return ChatGenerationChunk(message=AIMessageChunk(content=content, response_metadata=metadata))


def not_last(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    """Return a piece without the mark of the last one, since a piece of the guard's own may follow."""
    message = chunk.message
    if not isinstance(message, AIMessageChunk) or not message.chunk_position:
        return chunk
    return changed(chunk, {"chunk_position": None})


def of_this_run(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    """Return a piece without an id of its own: it gets the run's, as all pieces of the reply do."""
    return changed(chunk, {"chunk_position": None, "id": None})


def changed(chunk: ChatGenerationChunk, update: dict[str, Any]) -> ChatGenerationChunk:
    """Return a piece with other fields in its message."""
    message = chunk.message.model_copy(update=update)
    return ChatGenerationChunk(message=message, generation_info=chunk.generation_info)
