"""The memory thinker: a thought, and what it takes down in the ledger, from one call."""

import time
from typing import Any, get_args

from langgraph.runtime import Runtime
from pydantic import BaseModel, field_validator, model_validator

from mirror_graph.ledger.hearing import Heard, listen, scanned, source_of
from mirror_graph.ledger.identity import constraint_id
from mirror_graph.ledger.meaning import LONGEST_ABOUT, LONGEST_WHOSE, is_in, is_of_the_user, is_stated
from mirror_graph.nodes.asking import choices
from mirror_graph.nodes.known import known
from mirror_graph.nodes.structured import ask_structured
from mirror_graph.nodes.think import THOUGHT_TOKENS, stream, task, thought, unthought
from mirror_graph.prompts import quoted, render
from mirror_graph.state import MirrorContext, MirrorUpdate, SafetyConstraint
from mirror_graph.state.constraints import active
from mirror_graph.state.mind import PassState
from mirror_graph.state.usage import spent
from mirror_graph.state.values import Kind, Notes, Severity
from mirror_graph.state.window import last_turn

MEMORY = "memory"
NOTES_TOKENS = 600
"""What the ledger's part of the answer may take beside the thought."""


class Told(BaseModel):
    """A danger that a model believes it was told of."""

    quote: str
    kind: Kind
    about: str
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
    """What a model answers for the ledger. Whatever it leaves out, it has nothing to say about."""

    told: list[Told]
    taken_back: list[str]
    no_danger: list[str]

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, given: Any) -> Any:
        return {"told": [], "taken_back": [], "no_danger": [], **given} if isinstance(given, dict) else given


class Memory(LedgerNotes):
    """What the memory thinker answers."""

    thought: str


async def remember(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Think about memory, and note for the ledger what the user told of themselves in their own words."""
    context = choices(runtime)
    turn = last_turn(state["messages"])
    heard = listen(state["messages"], state["turn"])
    ledger = ledger_task(await known(state, runtime), scanned(heard))
    ending = render("memory_answer", task=task(MEMORY), ledger=ledger, notes=notes_task())
    prompt = stream(state, unthought(state, context), ending)
    answer = await ask_structured(MEMORY, prompt, Memory, context, turn, THOUGHT_TOKENS + NOTES_TOKENS, plain_thought)
    draft = thought(MEMORY, turn, answer.value.thought)
    return {
        "drafts": [draft] if draft["text"] else [],
        "notes": take_notes(answer.value, heard, turn, time.time()),
        "usage": spent(state, MEMORY, turn, answer.tokens),
    }


def plain_thought(text: str) -> Memory:
    """Take a plain answer as a thought without notes."""
    return Memory(thought=text, told=[], taken_back=[], no_danger=[])


def ledger_task(ledger: list[SafetyConstraint], candidates: list[SafetyConstraint]) -> str:
    """Tell what the ledger holds, and what the scanner believes to have heard."""
    known = "\n".join(f"- {it['kind']}: {quoted(it['about'])}" for it in active(ledger)) or "- nothing yet"
    caught = "\n".join(f"- {it['id']}: {quoted(it['source']['quote'])}" for it in candidates) or "- nothing"
    return render("ledger", known=known, caught=caught)


def notes_task() -> str:
    """Ask for what is to be noted."""
    return render("ledger_notes", kinds=", ".join(get_args(Kind)))


def take_notes(answer: LedgerNotes, heard: list[Heard], turn: int, at: float) -> Notes:
    """Keep of an answer only what the user's own words bear out, read with the whole sentence they stand in."""
    told = [entry for it in answer.told if (entry := _borne_out(it, heard, at))]
    taken_back = [source for quote in answer.taken_back if (source := source_of(quote, heard, at))]
    return {"turn": turn, "told": told, "taken_back": taken_back, "no_danger": answer.no_danger}


def _borne_out(told: Told, heard: list[Heard], at: float) -> SafetyConstraint | None:
    """Return the entry for `told` where its sentence is the user's, states it, and names what it is about."""
    source = source_of(told.quote, heard, at)
    if source is None or not is_stated(source["quote"]) or not is_in(told.about, told.quote, LONGEST_ABOUT):
        return None
    of_the_user = told.whose.strip().casefold() in ("user", "i", "me", "self", "")
    if not (is_of_the_user(source["quote"]) if of_the_user else is_in(told.whose, source["quote"], LONGEST_WHOSE)):
        return None
    whose, about = "user" if of_the_user else told.whose.strip(), told.about.strip()
    return {
        "id": constraint_id(told.kind, about, whose),
        "kind": told.kind,
        "about": about,
        "severity": told.severity,
        "whose": whose,
        "status": "active",
        "source": source,
        "since": source["turn"],
    }
