"""What a thinker answers for the ledger, and what of it the user's own words bear out."""

from typing import Any, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from mirror_graph.ledger.assertion import (
    LONGEST_ABOUT,
    LONGEST_WHOSE,
    believed_severity,
    is_asserted,
    is_in,
    is_of_the_user,
)
from mirror_graph.ledger.identity import constraint_id
from mirror_graph.ledger.quotes import overlap
from mirror_graph.ledger.retraction import plain_denials
from mirror_graph.ledger.user_messages import UserMessage, find_source
from mirror_graph.prompts import quoted, render
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import active
from mirror_graph.state.values import Kind, Notes, Severity

NOTES_TOKENS = 800
"""What the ledger's part of an answer may take beside the thoughts: a dozen dangers with their sentences."""


def _at_most(count: int) -> Any:
    """Bound a list in the schema that is sent: without a bound a small model repeats one item until it is cut.

    Only what is sent is bounded: where an endpoint lets a longer list pass, nothing of it is lost.
    """
    return Field(json_schema_extra={"maxItems": count})


class Claim(BaseModel):
    """A danger that a model believes it was told of."""

    quote: str
    about: str
    kind: Kind
    severity: Severity
    whose: str

    @field_validator("kind", mode="before")
    @classmethod
    def _known_kind(cls, kind: Any) -> Any:
        return kind if kind in get_args(Kind) else "other"

    @field_validator("severity", mode="before")
    @classmethod
    def _known_severity(cls, severity: Any) -> Any:
        return severity if severity in get_args(Severity) else "serious"


class LedgerNotes(BaseModel):
    """What a model answers for the ledger. Whatever it leaves out, it has nothing to say about.

    `no_danger` are numbers of what the scanner caught, from 1 on, in the order it was shown in.
    """

    told: list[Claim] = _at_most(12)
    taken_back: list[str] = _at_most(4)
    no_danger: list[int] = _at_most(8)

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, given: Any) -> Any:
        return {"told": [], "taken_back": [], "no_danger": [], **given} if isinstance(given, dict) else given

    @field_validator("no_danger", mode="before")
    @classmethod
    def _numbers(cls, given: Any) -> Any:
        return [it for it in given if str(it).isdecimal()] if isinstance(given, list) else given


def ledger_task(ledger: list[SafetyConstraint], caught: list[SafetyConstraint]) -> str:
    """Tell what the ledger holds, and what the scanner believes to have caught, numbered."""
    known = "\n".join(f"- {it['kind']}: {quoted(it['about'])}" for it in active(ledger)) or "- nothing yet"
    numbered = (f"{number}. {quoted(it['source']['quote'])}" for number, it in enumerate(caught, 1))
    return render("ledger", known=known, caught="\n".join(numbered) or "- nothing")


def notes_task() -> str:
    """Ask for what is to be noted."""
    return render("ledger_notes", kinds=", ".join(get_args(Kind)))


def verify_notes(
    answer: LedgerNotes, heard: list[UserMessage], caught: list[SafetyConstraint], turn: int, at: float
) -> Notes:
    """Keep of an answer only what the user's own words bear out, read with the whole sentence they stand in.

    `caught` is what `ledger_task` numbered. A sentence in which the answer also tells of a danger, be it in words that
    are not the user's, is none that it can call harmless: one that contradicts itself loses nothing.
    """
    told = [entry for it in answer.told if (entry := _verified(it, heard, at))]
    plain = {sentence for message in heard for sentence in plain_denials(message.text)}
    sources = [find_source(quote, heard, at) for quote in answer.taken_back]
    taken_back = [source for source in sources if source and source["quote"] in plain]
    doubted = [it for number, it in enumerate(caught, 1) if number in answer.no_danger]
    heard_too = [source["quote"] for it in answer.told if (source := find_source(it.quote, heard, at))]
    no_danger = [it["id"] for it in doubted if not any(overlap(it["source"]["quote"], quote) for quote in heard_too)]
    return {"turn": turn, "claims": told, "retractions": taken_back, "false_alarms": no_danger}


def _verified(told: Claim, heard: list[UserMessage], at: float) -> SafetyConstraint | None:
    """Return the entry for `told` where its sentence is the user's, states it, and names what it is about."""
    source = find_source(told.quote, heard, at)
    if (
        source is None
        or not is_asserted(told.quote, source["quote"])
        or not is_in(told.about, told.quote, LONGEST_ABOUT)
    ):
        return None
    of_the_user = told.whose.strip().casefold() in ("user", "i", "me", "self", "")
    if not (is_of_the_user(source["quote"]) if of_the_user else is_in(told.whose, source["quote"], LONGEST_WHOSE)):
        return None
    whose, about = "user" if of_the_user else told.whose.strip(), told.about.strip()
    return {
        "id": constraint_id(told.kind, about, whose),
        "kind": told.kind,
        "about": about,
        "severity": believed_severity(told.severity, told.kind, about, source["quote"]),
        "subject": whose,
        "status": "active",
        "source": source,
        "first_turn": source["turn"],
    }
