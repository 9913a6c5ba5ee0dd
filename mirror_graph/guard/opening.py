"""`guard="open"`: the first sentence of a reply is written by code, where a constraint is touched for certain."""

from collections.abc import Callable

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from mirror_graph.guard.note import marks_of, wording_of, write_advice, write_beginning, write_opening
from mirror_graph.guard.reading import Finding, ReplyReader, findings_before
from mirror_graph.guard.watch import Case, Pieces, Watch, of_this_run


class OpeningWatch(Watch):
    """Opens a reply to a request that touches a constraint, and watches the rest of it.

    A model that continues an assistant message goes on from half a sentence. For any other model the opening is
    complete in itself, and the model's words follow as a paragraph of their own.
    """

    def __init__(self, read_case: Callable[[], Case]) -> None:
        super().__init__(read_case)
        self._named: list[Finding] = []
        self._beginning = ""
        self._begins_paragraph = False

    def wants_opening(self) -> bool:
        """Say whether the request touches a constraint that the reply has to name."""
        self._named = self._attempt(lambda: findings_before(self._case.request, self._case.noted), [])
        return bool(self._named)

    def open(self, *, continues: bool) -> Pieces:
        """Return the opening. `continues` says whether the model goes on from it."""
        text = self._attempt(lambda: self._opening(continues), "")
        if not text:
            self._named = []
            return
        self._begins_paragraph = not self._beginning
        yield self._piece(text, marks_of(self._named, "opening"))
        self._has_text = True

    def prompt(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Return the messages, with the beginning of the reply if the model is to go on from it."""
        return [*messages, AIMessage(self._beginning)] if self._beginning else messages

    def take(self, chunk: ChatGenerationChunk) -> Pieces:
        """Pass a piece on, under the id that the opening has."""
        if not self._named:
            yield from super().take(chunk)
            return
        if self._begins_paragraph and chunk.message.text.strip():
            yield self._piece("\n\n", [])
            self._begins_paragraph = False
        yield of_this_run(chunk)
        self._read(chunk)

    def end(self) -> Pieces:
        """End a sentence that the model has not gone on from, and return what is added at the end of the reply."""
        if self._beginning and self._reader is None:
            yield self._piece(f": {self._advice()}", [])
        yield from super().end()

    def _advice(self) -> str:
        return write_advice(self._named, wording_of(self._case.request.text, self._named))

    def _opening(self, continues: bool) -> str:
        wording = wording_of(self._case.request.text, self._named)
        first = self._named[0].constraint
        # Half a sentence can only be about one constraint, and about the user.
        if continues and len(self._named) == 1 and first["whose"] == "user":
            self._beginning = write_beginning(self._named[0], wording)
            return self._beginning
        return write_opening(self._named, wording)

    def _ready_reader(self) -> ReplyReader:
        if self._reader is None:
            named = frozenset(finding.constraint["id"] for finding in self._named)
            self._reader = ReplyReader(self._case.request, self._case.noted, named)
        return self._reader
