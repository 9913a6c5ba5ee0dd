"""A thinker's notes for the ledger, and which of them the user's own words confirm."""

from typing import Any, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from mirror_graph.ledger.assertion import (
    ABOUT_LIMIT,
    SUBJECT_LIMIT,
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
from mirror_graph.state.values import Kind, Notes, Severity, Source

NOTES_TOKENS = 800
"""Tokens of the ledger's part of an answer, besides the thoughts: a dozen dangers with their sentences."""


def _at_most(count: int) -> Any:
    """Bound a list in the schema that is sent: without a bound a small model repeats one item until it is cut.

    Only the schema is bounded: if an endpoint lets a longer list pass, nothing of it is lost.
    """
    return Field(json_schema_extra={"maxItems": count})


class Claim(BaseModel):
    """A danger that a model believes the user stated. The names of the fields are those of the prompt."""

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
    """What a model answers for the ledger, under the names of the prompt. A part that it leaves out is empty.

    `no_danger` are numbers of what the scanner caught, from 1, in the order of the prompt.
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
        return [number for number in given if str(number).isdecimal()] if isinstance(given, list) else given


def ledger_task(ledger: list[SafetyConstraint], caught: list[SafetyConstraint]) -> str:
    """Return the part of a prompt that lists the ledger and, numbered from 1, what the scanner may have caught."""
    known = [f"- {constraint['kind']}: {quoted(constraint['about'])}" for constraint in active(ledger)]
    numbered: list[str] = []
    for number, constraint in enumerate(caught, 1):
        numbered.append(f"{number}. {quoted(constraint['source']['quote'])}")
    return render("ledger", known="\n".join(known) or "- nothing yet", caught="\n".join(numbered) or "- nothing")


def notes_task() -> str:
    """Return the part of a prompt that asks for the notes and says what they consist of."""
    return render("ledger_notes", kinds=", ".join(get_args(Kind)))


def verify_notes(
    answer: LedgerNotes, messages: list[UserMessage], caught: list[SafetyConstraint], turn: int, at: float
) -> Notes:
    """Return the parts of an answer that the user's own words confirm, each read with its whole sentence.

    `caught` is what `ledger_task` numbered, and `at` is the time of the notes, in seconds since 1970.
    """
    claims: list[SafetyConstraint] = []
    for claim in answer.told:
        verified = _verified(claim, messages, at)
        if verified is not None:
            claims.append(verified)
    return {
        "turn": turn,
        "claims": claims,
        "retractions": _retractions(answer, messages, at),
        "false_alarms": _false_alarms(answer, messages, caught),
    }


def _retractions(answer: LedgerNotes, messages: list[UserMessage], at: float) -> list[Source]:
    """Return the sentences of the user's own that plainly say that something is over."""
    plain: set[str] = set()
    for message in messages:
        plain.update(plain_denials(message.text))
    # The model only points at a sentence. Whether the sentence retracts anything is decided by the rules, because a
    # model that is wrong, or was misled, must not take a constraint off the ledger.
    sources = _sources_of(answer.taken_back, messages, at)
    return [source for source in sources if source["quote"] in plain]


def _sources_of(quotes: list[str], messages: list[UserMessage], at: float) -> list[Source]:
    """Return the user's own sentences that hold these quotes; a quote that is in none is left out."""
    sources: list[Source] = []
    for quote in quotes:
        source = find_source(quote, messages, at)
        if source is not None:
            sources.append(source)
    return sources


def _false_alarms(answer: LedgerNotes, messages: list[UserMessage], caught: list[SafetyConstraint]) -> list[str]:
    """Return the ids of what the answer calls harmless, if it does not contradict itself.

    A sentence that the answer also quotes for a danger cannot be harmless, even if the danger itself is not confirmed
    by the user's words: an answer that contradicts itself loses nothing.
    """
    claimed = _sources_of([claim.quote for claim in answer.told], messages, 0.0)
    ids: list[str] = []
    for number, constraint in enumerate(caught, 1):
        if number in answer.no_danger and not _is_claimed(constraint, claimed):
            ids.append(constraint["id"])
    return ids


def _is_claimed(constraint: SafetyConstraint, claimed: list[Source]) -> bool:
    """Say whether the answer quotes the words of a constraint for a danger."""
    return any(overlap(constraint["source"]["quote"], source["quote"]) for source in claimed)


def _verified(claim: Claim, messages: list[UserMessage], at: float) -> SafetyConstraint | None:
    """Return the constraint of a claim if its sentence is the user's, states the danger, and names what it is about."""
    source = find_source(claim.quote, messages, at)
    # A quote that the user did not write may come from the reply, from pasted text, or from the model itself.
    if source is None:
        return None
    # "I wish I were allergic to work" quotes the user, and states no danger.
    if not is_asserted(claim.quote, source["quote"]):
        return None
    # What the danger is must be the user's own words too, because the ledger shows it to them as theirs.
    if not is_in(claim.about, claim.quote, ABOUT_LIMIT):
        return None
    subject = _subject(claim.whose, source["quote"])
    # Another person's danger must never become the user's, or the other way round.
    if subject is None:
        return None
    about = claim.about.strip()
    return {
        "id": constraint_id(claim.kind, about, subject),
        "kind": claim.kind,
        "about": about,
        "severity": believed_severity(claim.severity, claim.kind, about, source["quote"]),
        "subject": subject,
        "status": "active",
        "source": source,
        "first_turn": source["turn"],
    }


def _subject(claimed: str, sentence: str) -> str | None:
    """Return whom a sentence is about, or None if it does not say what is claimed."""
    if claimed.strip().casefold() in ("user", "i", "me", "self", ""):
        return "user" if is_of_the_user(sentence) else None
    return claimed.strip() if is_in(claimed, sentence, SUBJECT_LIMIT) else None
