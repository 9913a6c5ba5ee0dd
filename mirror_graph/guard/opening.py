"""`guard="open"`: the first sentence of a reply is written by code, where a constraint is touched for certain."""

from collections.abc import Callable, Sequence

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from mirror_graph.guard.note import marks_of, quotes_of, wording_of, write_beginning, write_opening, write_rest
from mirror_graph.guard.reading import Case, Finding, ReplyReader, findings_before
from mirror_graph.guard.watch import PARAGRAPH, Pieces, Rule, Watch, changed, of_this_run
from mirror_graph.models import REASONED_ABOVE
from mirror_graph.prompts import may_be_echo, strip_leading_tags

MOST_QUOTES = 2
"""How many sentences of the user's half a sentence quotes. A model does not go on well from more."""


class OpeningWatch(Watch):
    """Opens a reply to a request that touches a constraint, and watches the rest of it.

    A model that continues an assistant message goes on from half a sentence, to the end of that paragraph. For any
    other model the opening is complete in itself, and the model's words follow as a paragraph of their own.
    `opened_prompt` is what a model that continues is asked instead of the messages.
    """

    def __init__(
        self,
        read_case: Callable[[], Case],
        rule: Rule | None = None,
        opened_prompt: Sequence[BaseMessage] | None = None,
    ) -> None:
        super().__init__(read_case, rule)
        self._opened_prompt = opened_prompt
        self._named: list[Finding] = []
        self._opening = ""
        self._is_half = False
        self._begins_paragraph = False
        self._continued = ""  # what the model has gone on with
        self._may_be_echo: str | None = ""  # what the model began with, held back while it may be a tag of ours

    def wants_opening(self) -> bool:
        """Say whether the request touches a constraint that the reply has to name."""
        self._named = self._attempt(lambda: findings_before(self._case.request, self._case.noted), [])
        return bool(self._named)

    def open(self, *, continues: bool) -> Pieces:
        """Return the opening. `continues` says whether the model goes on from it."""
        self._opening = self._attempt(lambda: self._written_opening(continues), "")
        if not self._opening:
            self._named = []
            return
        yield self._piece(self._opening, marks_of(self._named, "opening"))
        self._begins_paragraph = not self._is_half
        self._has_text = True

    def prompt(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Return the messages, with the beginning of the reply if the model is to go on from it."""
        if not self._is_half:
            return messages
        begun = messages if self._opened_prompt is None else self._opened_prompt
        return [*begun, AIMessage(self._opening)]

    def take(self, chunk: ChatGenerationChunk) -> Pieces:
        """Pass a piece on, under the id that the opening has."""
        if not self._named:
            yield from super().take(chunk)
            return
        chunk = of_this_run(chunk)
        if REASONED_ABOVE in chunk.message.additional_kwargs:
            # What has been shown turned out to be no part of the reply, the opening included.
            yield changed(self._piece(self._opening, []), {"additional_kwargs": {REASONED_ABOVE: True}})
            chunk = changed(chunk, {"additional_kwargs": {}})
            self._begins_paragraph = not self._is_half
            self._reader = None
            self._continued = ""
        chunk = self._without_further_paragraphs(self._without_echo(chunk))
        if self._begins_paragraph:
            chunk = _without_margin(chunk)
        if self._begins_paragraph and chunk.message.text:
            yield self._piece(PARAGRAPH, [])
            self._begins_paragraph = False
        yield chunk
        self._read(chunk)

    def end(self) -> Pieces:
        """End a sentence that the model has not gone on from, and return what is added at the end of the reply."""
        rest = self._own_words(self._may_be_echo or "").strip()
        if rest:
            held_back = self._piece(f"{PARAGRAPH}{rest}" if self._begins_paragraph else rest, [])
            yield held_back
            self._read(held_back)
        if self._is_half and self._reader is None:
            yield self._piece(self._attempt(self._written_end, ""), [])
        yield from super().end()

    def _without_echo(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """Hold back what may be a tag of ours, with which small models like to begin, or the opening once more.

        Some engines return what they go on from along with what comes after it.
        """
        text = chunk.message.content
        if self._may_be_echo is None or not text or not isinstance(text, str):
            return chunk
        begun = self._may_be_echo + text
        is_repeating = self._is_half and self._opening.startswith(begun)
        self._may_be_echo = begun if is_repeating or may_be_echo(begun) else None
        return changed(chunk, {"content": "" if self._may_be_echo else self._own_words(begun)})

    def _without_further_paragraphs(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """Leave out what the model writes after the paragraph that was begun for it.

        A small model contradicts the opening there, asks the user's question once more, or repeats an earlier reply.
        """
        text = chunk.message.content
        if not self._is_half or not text or not isinstance(text, str):
            return chunk
        passed_on = len(_first_paragraph(self._continued))
        self._continued += text
        return changed(chunk, {"content": _first_paragraph(self._continued)[passed_on:]})

    def _own_words(self, begun: str) -> str:
        """Return what the model began with, without our tag and our opening."""
        return strip_leading_tags(begun.removeprefix(self._opening) if self._is_half else begun)

    def _written_opening(self, continues: bool) -> str:
        wording = wording_of(self._case.request.text, self._named)
        self._is_half = continues and _fits_half_a_sentence(self._named)
        return write_beginning(self._named, wording) if self._is_half else write_opening(self._named, wording)

    def _written_end(self) -> str:
        return f" {write_rest(self._named, wording_of(self._case.request.text, self._named))}"

    def _ready_reader(self) -> ReplyReader:
        if self._reader is None:
            named = frozenset(finding.constraint["id"] for finding in self._named)
            self._reader = ReplyReader(lambda: self._case._replace(named=named))
        return self._reader


def _fits_half_a_sentence(findings: Sequence[Finding]) -> bool:
    """Say whether all of it is about the user, and was mentioned in few enough sentences to be quoted."""
    return len(quotes_of(findings)) <= MOST_QUOTES and {finding.constraint["subject"] for finding in findings} == {
        "user"
    }


def _first_paragraph(text: str) -> str:
    """Return the first paragraph of a text, without a line break at its end that may begin the next one."""
    return text.split(PARAGRAPH, 1)[0].rstrip("\n")


def _without_margin(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    """Return a piece without the blanks it begins with."""
    content = chunk.message.content
    return changed(chunk, {"content": content.lstrip()}) if isinstance(content, str) else chunk
