"""`guard="hold"`: nothing is shown before it is checked, and an unsafe reply is asked for once more."""

from collections.abc import Callable

from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

from mirror_graph.guard.note import marks_of, wording_of, write_order
from mirror_graph.guard.reading import Case, Finding
from mirror_graph.guard.watch import NO_FINDINGS, PARAGRAPH, Pieces, Rule, Watch, of_this_run
from mirror_graph.models import REASONED_ABOVE


class HoldingWatch(Watch):
    """Holds each sentence back until nothing in the reply so far leaves a constraint unnamed.

    A reply that ends unsafe is dropped, and the model is asked once more, with the findings in the user's words. If
    that reply ends unsafe as well, the note stands in its place.
    """

    def __init__(self, read_case: Callable[[], Case], rule: Rule | None = None) -> None:
        super().__init__(read_case, rule)
        self._held: list[ChatGenerationChunk] = []
        self._checked = 0  # sentences
        self._order = ""
        self._has_shown = False
        self._begins_paragraph = False

    def prompt(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Return the messages; the second time, with what the reply has to take into account behind the last."""
        if not self._order:
            return messages
        places = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
        if not places:
            return [*messages, HumanMessage(self._order)]
        last = places[-1]
        return [*messages[:last], _with_order(messages[last], self._order), *messages[last + 1 :]]

    def take(self, chunk: ChatGenerationChunk) -> Pieces:
        """Hold a piece back, and pass on what has turned out to be safe."""
        if REASONED_ABOVE in chunk.message.additional_kwargs:
            # What is held back turned out to be no part of the reply.
            self._held = [_spent(held) for held in self._held]
        self._held.append(of_this_run(chunk))
        self._read(chunk)
        if self._failure:
            yield from self._release(unread=0)
            return
        # An empty piece says that the model is alive.
        yield self._piece("", [])
        if self._reader is None or self._reader.sentences == self._checked:
            return
        self._checked = self._reader.sentences
        if not self._attempt(self._reader.findings, NO_FINDINGS):
            yield from self._release(unread=self._reader.unread)

    def wants_retry(self) -> bool:
        """Say whether the reply has ended unsafe, and drop it."""
        findings = self._attempt(self._findings_at_end, NO_FINDINGS)
        # The calls of a reply cannot be taken back, and a host that has a rule of its own may let the reply pass.
        if not findings or self._has_tool_calls or self._rule:
            return False
        self._order = self._attempt(lambda: self._written_order(findings), "")
        if not self._order:
            return False
        self._held = [_spent(chunk) for chunk in self._held]
        self._reader = None
        self._checked = 0
        self._begins_paragraph = self._has_shown
        return True

    def end(self) -> Pieces:
        """Return what was held back, or the note in its place."""
        findings = self._attempt(self._findings_at_end, NO_FINDINGS)
        note = self._attempt(lambda: self._note(findings), "") if findings else ""
        if note and not self._has_tool_calls:
            yield self._piece(self._paragraph(note), marks_of(findings, "replacement"))
            yield from map(_without_words, self._held)
            return
        yield from self._release(unread=0)
        if note:
            yield self._piece(self._paragraph(note), marks_of(findings, "note"))
        elif self._failure:
            yield self._piece("", [])

    def _release(self, unread: int) -> Pieces:
        """Pass on the pieces that end before the `unread` last characters."""
        left = sum(len(chunk.message.text) for chunk in self._held)
        while self._held:
            left -= len(self._held[0].message.text)
            if left < unread:
                return
            chunk = self._held.pop(0)
            if chunk.message.text:
                if self._begins_paragraph:
                    yield self._piece(PARAGRAPH, [])
                    self._begins_paragraph = False
                self._has_shown = True
            yield chunk

    def _written_order(self, findings: list[Finding]) -> str:
        return write_order(findings, wording_of(self._case.request.text, findings))

    def _paragraph(self, text: str) -> str:
        return f"{PARAGRAPH}{text}" if self._has_shown else text


def _with_order(message: BaseMessage, order: str) -> BaseMessage:
    content = message.content
    if isinstance(content, str):
        return message.model_copy(update={"content": f"{content}\n\n{order}"})
    return message.model_copy(update={"content": [*content, {"type": "text", "text": order}]})


def _spent(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    """Return what is left of a piece that was dropped: the tokens it took."""
    usage = chunk.message.usage_metadata if isinstance(chunk.message, AIMessageChunk) else None
    return ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=usage))


def _without_words(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    """Return a piece without its words, with why the model stopped and what it took."""
    content: str | list[str] = "" if isinstance(chunk.message.content, str) else []
    message = chunk.message.model_copy(update={"content": content})
    return ChatGenerationChunk(message=message, generation_info=chunk.generation_info)
