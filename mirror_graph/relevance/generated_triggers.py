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
    """The triggers of a constraint, and the tokens that it took to generate them."""

    phrases: list[str]
    tokens: Tokens


async def generate_triggers(constraint: SafetyConstraint, context: MirrorContext, turn: int) -> GeneratedTriggers:
    """Ask a model for what a request may hold that touches `constraint`.

    Raises `CallError` if no answer can be read.
    """
    answer = await ask_structured(
        ANTICIPATION, triggers_prompt(constraint), TriggerSlots, context, turn, ANTICIPATION_TOKENS
    )
    return GeneratedTriggers(select_phrases(answer.value, constraint["about"]), answer.tokens)


def triggers_prompt(constraint: SafetyConstraint) -> list[BaseMessage]:
    """Return the prompt that asks for triggers; what differs between constraints comes last."""
    about, quote = quoted(constraint["about"]), quoted(constraint["source"]["quote"])
    return [HumanMessage(render("anticipate", kind=constraint["kind"], about=about, quote=quote))]


def select_phrases(slots: TriggerSlots, about: str) -> list[str]:
    """Choose the phrases that say something new about what `about` is met by, from each slot in turn."""
    own = frozenset(content(about))
    known = {frozenset[str](), own}
    alike: Counter[str] = Counter()
    phrases: list[str] = []
    for phrase in _in_turn(slots.things, slots.words, slots.activities, slots.places):
        words = phrase.split()
        stems = content(phrase)
        meaning = frozenset(stems)
        fresh = meaning - own
        # It says nothing new, or a model has rambled: a long phrase, or the same word twice in one.
        if not fresh or meaning in known or len(words) > WORDS_LIMIT or len(meaning) < len(stems):
            continue
        if max(map(alike.__getitem__, fresh)) >= ALIKE_LIMIT:
            continue
        known.add(meaning)
        alike.update(fresh)
        phrases.append(" ".join(words))
    return phrases[:PHRASES_LIMIT]


def _in_turn(*slots: Iterable[str]) -> Iterable[str]:
    """Return the phrases of all slots: the first of each, then the second of each, and so on."""
    return filter(None, chain.from_iterable(zip_longest(*slots)))
