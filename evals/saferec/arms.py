"""Ways of answering a request from candidates, without a model call. All see the same candidates in the same order."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from mirror_graph.evals.saferec.dataset import Case, CatalogueItem
from mirror_graph.evals.saferec.metrics import Title
from mirror_graph.evals.saferec.traits import TRAITS
from mirror_graph.ledger.quotes import SENTENCE
from mirror_graph.ledger.repeats import add, retract
from mirror_graph.ledger.retraction import find_retracted
from mirror_graph.ledger.scan import scan
from mirror_graph.relevance.screening import screen
from mirror_graph.state.offers import Item
from mirror_graph.state.usage import NO_TOKENS
from mirror_graph.state.values import SafetyConstraint, Source, Tokens


class Screened(NamedTuple):
    """A candidate, and what was found out about it."""

    item: CatalogueItem
    is_withheld: bool
    is_undecided: bool


class Answer(NamedTuple):
    """A list as it is shown, what was screened for it, and what it took.

    `screened` is empty for an arm that screens nothing. `rounds` is how often items were proposed.
    """

    shown: list[Title]
    screened: list[Screened]
    tokens: Tokens
    seconds: float = 0.0
    rounds: int = 1
    failures: int = 0


Arm = Callable[[Case, Sequence[CatalogueItem]], list[Screened]]


def screen_nothing(case: Case, candidates: Sequence[CatalogueItem]) -> list[Screened]:
    """Let every candidate through: what the others are compared with."""
    return [Screened(item, is_withheld=False, is_undecided=False) for item in candidates]


def screen_scanned(case: Case, candidates: Sequence[CatalogueItem]) -> list[Screened]:
    """Screen against what the scanner finds in the conversation, as the product does before any model has thought."""
    return _screen(scanned_ledger([*case["turns"], case["request"]]), candidates)


def screen_noted(case: Case, candidates: Sequence[CatalogueItem]) -> list[Screened]:
    """Screen against what a perfect memory would have noted: how good the relations are, whatever was noticed."""
    return _screen(noted_ledger(case), candidates)


def screen_by_oracle(case: Case, candidates: Sequence[CatalogueItem]) -> list[Screened]:
    """Withhold what the oracle calls a violation: the bound that no screening can pass, and no result."""
    return [
        Screened(item, is_withheld=not set(case["constraints"]).isdisjoint(item["unsafe"]), is_undecided=False)
        for item in candidates
    ]


ARMS: Mapping[str, Arm] = {
    "unscreened": screen_nothing,
    "guard_relations": screen_scanned,
    "guard_noted": screen_noted,
    "oracle": screen_by_oracle,
}


def listed(screened: Sequence[Screened]) -> Answer:
    """Return the answer of an arm that recommends every candidate that it does not withhold."""
    shown = [(one.item["title"], one.item["year"]) for one in screened if not one.is_withheld]
    return Answer(shown, list(screened), NO_TOKENS)


def scanned_ledger(messages: Sequence[str]) -> list[SafetyConstraint]:
    """Return the constraints that hold after a conversation, by rules only."""
    ledger: list[SafetyConstraint] = []
    for turn, message in enumerate(messages, start=1):
        for match in SENTENCE.finditer(message):
            known = find_retracted(match[0], ledger)
            if known:
                ledger = retract(ledger, known, {**known["source"], "turn": turn, "quote": match[0]})
        for found in scan(message):
            source: Source = {**found["source"], "turn": turn}
            ledger = add(ledger, {**found, "status": "active", "source": source, "first_turn": turn})
    return ledger


def noted_ledger(case: Case) -> list[SafetyConstraint]:
    """Return the constraints of a case as a memory thinker should note them: the kind, what it is about, a quote."""
    return [
        {
            "id": trait,
            "kind": TRAITS[trait].kind,
            "about": TRAITS[trait].about,
            "severity": "serious",
            "subject": "user",
            "status": "active",
            "source": {"message": "", "turn": 1, "quote": case["turns"][0], "language": "en", "recorded_at": 0.0},
            "first_turn": 1,
        }
        for trait in case["constraints"]
    ]


def as_item(row: CatalogueItem) -> Item:
    """Return what is public of a catalogue's item."""
    return {
        "title": row["title"],
        "year": row["year"],
        "about": row["about"],
        "tags": [tag for tag in (row["genre"], row["mood"], *row["tags"]) if tag],
        "met": row["met"],
    }


def _screen(ledger: Sequence[SafetyConstraint], candidates: Sequence[CatalogueItem]) -> list[Screened]:
    may_kill = {constraint["id"] for constraint in ledger if constraint["severity"] == "life-threatening"}
    screened = []
    for row in candidates:
        verdict = screen(ledger, as_item(row))
        is_undecided = verdict["finding"] == "unknown"
        # What cannot be decided is withheld under a constraint that may kill, and offered otherwise.
        is_withheld = verdict["finding"] == "touches" or (is_undecided and verdict["constraint"] in may_kill)
        screened.append(Screened(row, is_withheld, is_undecided))
    return screened
