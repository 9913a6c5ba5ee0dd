"""Between turns: what a safety constraint will touch, written down before anybody asks for it."""

from typing import NamedTuple

from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import BaseModel, Field

from mirror_graph.nodes.structured import ask_structured
from mirror_graph.prompts import quoted, render
from mirror_graph.state import MirrorContext, Tokens
from mirror_graph.state.values import SafetyConstraint

ANTICIPATION = "anticipation"
ANTICIPATION_TOKENS = 400
TOUCHES_LIMIT = 24
WORDS_LIMIT = 5

# A bound for the model's grammar; an answer that oversteps it is cut, not refused.
_SHORT = {"minItems": 3, "maxItems": 5, "items": {"type": "string", "maxLength": 40}}


class Slots(BaseModel):
    """What may stand for a danger in a request, by what it is."""

    things: list[str] = Field(default_factory=list, json_schema_extra=_SHORT)
    places: list[str] = Field(default_factory=list, json_schema_extra=_SHORT)
    activities: list[str] = Field(default_factory=list, json_schema_extra=_SHORT)
    words: list[str] = Field(default_factory=list, json_schema_extra=_SHORT)


class Anticipation(NamedTuple):
    """What an entry touches, and what it took to write that down."""

    touches: list[str]
    tokens: Tokens


async def anticipate(entry: SafetyConstraint, context: MirrorContext, turn: int) -> Anticipation:
    """Ask once what a request may hold that touches `entry`.

    Raises `CallError` where no answer can be read.
    """
    answer = await ask_structured(ANTICIPATION, request(entry), Slots, context, turn, ANTICIPATION_TOKENS)
    slots = answer.value
    return Anticipation(cleaned([*slots.things, *slots.places, *slots.activities, *slots.words], entry), answer.tokens)


def request(entry: SafetyConstraint) -> list[BaseMessage]:
    """Lay out the question about one entry; what changes from entry to entry stands last."""
    return [
        HumanMessage(
            render(
                "anticipate", kind=entry["kind"], about=quoted(entry["about"]), quote=quoted(entry["source"]["quote"])
            )
        )
    ]


def cleaned(phrases, entry):
    return list(dict.fromkeys(phrases))
