"""Reads a reply as it comes in, sentence by sentence, and decides at its end what has to be added.

However a reply is split into pieces, the decision is the same: what is read is whole sentences, and where a sentence
ends depends on the text alone.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Literal, NamedTuple

from mirror_graph.guard.awareness import Sentence, advises_against, is_aware, read_sentence, recommended
from mirror_graph.guard.request import Request
from mirror_graph.guard.touching import Touch
from mirror_graph.prompts import is_all_tags, strip_leading_tags
from mirror_graph.relevance.match import THRESHOLD
from mirror_graph.state.values import SafetyConstraint

FAR = 2
"""How many times the usual evidence it takes where the request is in another field."""

LONGEST = 1_000
"""Characters after which a sentence is read although it has not ended."""

# A full stop ends a sentence if a space follows: "3.5 mg" and "example.com" are read as one.
_END = re.compile(
    "[.!?\u2026]+[\"'\u201d\u2019\u00bb)\\]*_]*(?=\\s)|[\u3002\uff01\uff1f]+(?=[^\u3002\uff01\uff1f])|\n+(?=[^\n])"
)


TouchedBy = Literal["request", "reply"]
"""Whose words touch a constraint: the user's request, or the reply to it."""


class Finding(NamedTuple):
    """A constraint that a reply has to name and does not, what touches it, and whose words do so."""

    constraint: SafetyConstraint
    touch: Touch
    by: TouchedBy


def findings_before(request: Request, noted: Mapping[str, frozenset[str]]) -> list[Finding]:
    """Return what a request certainly touches, most severe first, without what the user was reminded of lately."""
    found = [
        Finding(constraint, request.touched[constraint["id"]], "request")
        for constraint in request.constraints
        if constraint["id"] in request.touched
    ]
    return _most_severe_first(finding for finding in found if not _is_noted(finding.constraint, finding.touch, noted))


class Case(NamedTuple):
    """What a reply is read against: the request, and the relations that were noted lately, by constraint.

    `named` are the ids of constraints that the reply has named already.
    """

    request: Request
    noted: Mapping[str, frozenset[str]]
    named: frozenset[str] = frozenset()


class ReplyReader:
    """Reads one reply. `read_case` is not called before a first sentence has ended."""

    def __init__(self, read_case: Callable[[], Case]) -> None:
        self._read_case = read_case
        self._unread = ""
        self._sentences: list[Sentence] = []

    @cached_property
    def _case(self) -> Case:
        return self._read_case()

    @property
    def sentences(self) -> int:
        """How many sentences have been read."""
        return len(self._sentences)

    @property
    def unread(self) -> int:
        """How many of the last characters belong to a sentence that has not ended."""
        return len(self._unread)

    def feed(self, piece: str) -> None:
        """Take the next piece of the reply, and read the sentences that end in it."""
        self._unread += piece
        place = 0
        while end := self._end_of_sentence(place):
            self._read(self._unread[place:end])
            place = end
        self._unread = self._unread[place:]

    def end(self, *, is_final: bool = True) -> list[Finding]:
        """Read the rest, and return what must be added to the reply, most severe first.

        A reply that goes on with tool calls is not final: what the request touches may be named after them.
        """
        self._read(self._unread)
        self._unread = ""
        return self.findings(is_final=is_final)

    def findings(self, *, is_final: bool = True) -> list[Finding]:
        """Return what the sentences that have been read so far leave unnamed."""
        if not self._sentences:
            return []
        concerned = [entry for entry in self._case.request.constraints if entry["id"] not in self._case.named]
        found = [self._finding(constraint, is_final) for constraint in concerned]
        return _most_severe_first(finding for finding in found if finding)

    def names(self, constraint: SafetyConstraint) -> bool:
        """Say whether the sentences that have been read so far name a constraint with caution."""
        return is_aware(constraint, self._sentences)

    def _finding(self, constraint: SafetyConstraint, is_final: bool) -> Finding | None:
        name = constraint["id"]
        can_kill = constraint["severity"] == "life-threatening"
        proposed = recommended(constraint, self._sentences, self._least_evidence(constraint))
        asked = self._case.request.touched.get(name) if is_final else None
        touch = proposed or asked
        if touch is None or is_aware(constraint, self._sentences):
            return None
        if proposed is None and not can_kill and advises_against(self._sentences):
            # The reply has said no to it on the user's behalf, if for another reason.
            return None
        # The user was reminded of this a moment ago. What can kill is named again if the reply recommends it again.
        if _is_noted(constraint, asked or touch, self._case.noted) and not (can_kill and proposed):
            return None
        return Finding(constraint, asked or touch, "request" if asked else "reply")

    def _least_evidence(self, constraint: SafetyConstraint) -> float:
        """Return how much has to speak for it that a sentence of the reply touches a constraint.

        In a field that has nothing to do with the constraint a single word may well be meant otherwise.
        """
        level = self._case.request.levels.get(constraint["id"], "unrelated")
        is_far = level == "unrelated" and constraint["severity"] != "life-threatening"
        return FAR * THRESHOLD if is_far else THRESHOLD

    def _read(self, text: str) -> None:
        words = text if self._sentences else strip_leading_tags(text)
        if words.strip() and not is_all_tags(words):
            self._sentences.append(read_sentence(words, self._case.request))

    def _end_of_sentence(self, place: int) -> int:
        """Return where the sentence that begins at `place` ends; 0 if it has not."""
        end = _END.search(self._unread, place, place + LONGEST + 1)
        if end:
            return end.end()
        return place + LONGEST if len(self._unread) - place > LONGEST else 0


def _is_noted(constraint: SafetyConstraint, touch: Touch, noted: Mapping[str, frozenset[str]]) -> bool:
    return touch.relations <= noted.get(constraint["id"], frozenset())


def _most_severe_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: finding.constraint["severity"] != "life-threatening")
