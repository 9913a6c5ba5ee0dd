"""Triggers that a model generates between turns: foods, places and acts that bring a danger near."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import NamedTuple

from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from mirror_graph.calls.structured import ask_structured
from mirror_graph.prompts import quoted, render
from mirror_graph.relevance.relations import content
from mirror_graph.state import MirrorContext, Tokens
from mirror_graph.state.values import SafetyConstraint

ANTICIPATION = "anticipation"
ANTICIPATION_TOKENS = 400

PHRASES_LIMIT = 24
WORDS_LIMIT = 5
ALIKE_LIMIT = 3
"""How many phrases may hold the same word: small models vary one phrase until they are stopped."""

# For the model's grammar alone: an answer that oversteps it is cut and not refused.
_SLOT: JsonDict = {"minItems": 3, "maxItems": 5, "items": {"type": "string", "maxLength": 40}}


class TriggerSlots(BaseModel):
    """What may stand for a danger in a request, by what it is: an open list makes small models ramble."""

    things: list[str] = Field(default_factory=list, json_schema_extra=_SLOT)
    places: list[str] = Field(default_factory=list, json_schema_extra=_SLOT)
    activities: list[str] = Field(default_factory=list, json_schema_extra=_SLOT)
    words: list[str] = Field(default_factory=list, json_schema_extra=_SLOT)


class GeneratedTriggers(NamedTuple):
    """What an entry touches, and what it took to write that down."""

    touches: list[str]
    tokens: Tokens


async def generate_triggers(entry: SafetyConstraint, context: MirrorContext, turn: int) -> GeneratedTriggers:
    """Write down what a request may hold that touches `entry`.

    Raises `CallError` where no answer can be read.
    """
    answer = await ask_structured(
        ANTICIPATION, triggers_prompt(entry), TriggerSlots, context, turn, ANTICIPATION_TOKENS
    )
    return GeneratedTriggers(select_phrases(answer.value, entry["about"]), answer.tokens)


def triggers_prompt(entry: SafetyConstraint) -> list[BaseMessage]:
    """Lay out the question; what changes from entry to entry stands last."""
    about, quote = quoted(entry["about"]), quoted(entry["source"]["quote"])
    return [HumanMessage(render("anticipate", kind=entry["kind"], about=about, quote=quote))]


def select_phrases(slots: TriggerSlots, about: str) -> list[str]:
    """Choose the phrases that say something new about what `about` is met by, from each slot in turn."""
    said = {frozenset[str](), frozenset(content(about))}
    alike: Counter[str] = Counter()
    phrases: list[str] = []
    for phrase in _in_turn(slots.things, slots.words, slots.activities, slots.places):
        words = phrase.split()
        meaning = content(phrase)
        fresh = frozenset(meaning) - frozenset(content(about))
        if not fresh or frozenset(meaning) in said or len(words) > WORDS_LIMIT or len(set(meaning)) < len(meaning):
            continue
        if any(alike[word] >= ALIKE_LIMIT for word in fresh):
            continue
        said.add(frozenset(meaning))
        alike.update(fresh)
        phrases.append(" ".join(words))
    return phrases[:PHRASES_LIMIT]


def _in_turn(*slots: Iterable[str]) -> Iterable[str]:
    return chain.from_iterable(filter(None, row) for row in zip_longest(*slots))
