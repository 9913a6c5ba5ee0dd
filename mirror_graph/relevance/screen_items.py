"""Whether items touch a user's constraints: by relations, and by one model call for what those cannot decide."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import BaseModel

from mirror_graph.calls.structured import ask_structured
from mirror_graph.errors import CallError
from mirror_graph.prompts import quoted, render
from mirror_graph.relevance.check import CHECK_SECONDS, numbered_dangers
from mirror_graph.relevance.screening import screen, undecided
from mirror_graph.state import MirrorContext, Tokens
from mirror_graph.state.constraints import ids_of
from mirror_graph.state.offers import Item, Verdict
from mirror_graph.state.tokens import truncate_middle
from mirror_graph.state.values import SafetyConstraint

SCREEN = "screen"
TOKENS_PER_ITEM = 24
ABOUT_TOKENS = 120
"""How much of an item's description the model reads."""


class Decision(BaseModel):
    """The number of a thing, and that of the danger which it brings near, or 0."""

    thing: int
    danger: int


class Judgement(BaseModel):
    """What the model answers."""

    things: list[Decision]


class Screening(NamedTuple):
    """The verdicts, in the order of the items; what a model call took, and the class of its failure."""

    verdicts: list[Verdict]
    tokens: Tokens | None = None
    failure: str = ""


async def screen_items(
    constraints: Sequence[SafetyConstraint],
    items: Sequence[Item],
    context: MirrorContext | None,
    turn: int,
    seconds: float = CHECK_SECONDS,
) -> Screening:
    """Screen items by relations, and ask a model once about all that the relations cannot decide.

    If no answer comes within `seconds`, or there is no context, these stay undecided.
    """
    verdicts = [screen_with_reason(constraints, item) for item in items]
    open_verdicts = [verdict for verdict in verdicts if verdict["finding"] == "unknown"]
    if not open_verdicts or context is None:
        return Screening(verdicts)
    dangers = _undecided(constraints, open_verdicts)
    prompt = screen_prompt(dangers, [verdict["item"] for verdict in open_verdicts])
    steady = replace(context, temperature=0.0)
    most = TOKENS_PER_ITEM * (len(open_verdicts) + 1)
    try:
        async with asyncio.timeout(seconds):
            answer = await ask_structured(SCREEN, prompt, Judgement, steady, turn, most)
    except (CallError, TimeoutError) as error:
        # The items stay undecided, and what may kill is then not offered.
        cause = getattr(error, "cause", None) or error
        return Screening(verdicts, failure=type(cause).__name__)
    judged = _judged(open_verdicts, dangers, answer.value)
    return Screening(_with_judged(verdicts, judged), answer.tokens)


def _with_judged(verdicts: Sequence[Verdict], judged: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts with those that were left open, in their order, as the model judged them."""
    judgements = iter(judged)
    # The model decides only what the relations left open: what they know about an item it cannot overrule.
    return [next(judgements) if verdict["finding"] == "unknown" else verdict for verdict in verdicts]


def screen_with_reason(constraints: Sequence[SafetyConstraint], item: Item) -> Verdict:
    """Screen an item by relations, and the reason that the user would read with it.

    The reason can only speak against an item: praise is no description.
    """
    verdict = screen(constraints, item)
    reason = item.get("why", "")
    if verdict["finding"] == "touches" or not reason:
        return verdict
    read: Item = {**item, "about": reason, "tags": []}
    of_reason = screen(constraints, read)
    return {**of_reason, "item": item} if of_reason["finding"] == "touches" else verdict


def screen_prompt(dangers: Sequence[SafetyConstraint], items: Sequence[Item]) -> list[BaseMessage]:
    """Return the prompt of a screening: the dangers and the things, both numbered."""
    things = "\n".join(f"{number}. {_described(item)}" for number, item in enumerate(items, 1))
    return [HumanMessage(render("screen", dangers=numbered_dangers(dangers), items=things))]


def _described(item: Item) -> str:
    texts = filter(None, (item["about"], ", ".join(item["tags"])))
    about = truncate_middle("; ".join(texts), ABOUT_TOKENS)
    return f"{quoted(item['title'])} ({item['met']}): {quoted(about)}"


def _undecided(constraints: Sequence[SafetyConstraint], verdicts: Sequence[Verdict]) -> list[SafetyConstraint]:
    """Return the constraints of which the relations cannot tell whether one of these items touches them."""
    ids: set[str] = set()
    for verdict in verdicts:
        ids |= ids_of(undecided(constraints, verdict["item"]))
    return [constraint for constraint in constraints if constraint["id"] in ids]


def _judged(verdicts: Sequence[Verdict], dangers: Sequence[SafetyConstraint], judgement: Judgement) -> list[Verdict]:
    """Return the verdicts as the model decided them. An item without a clear answer stays undecided."""
    decisions = {decision.thing: decision.danger for decision in judgement.things}
    decided: list[Verdict] = []
    for number, verdict in enumerate(verdicts, 1):
        danger = decisions.get(number, -1)
        if danger == 0:
            decided.append({**verdict, "finding": "fits", "constraint": "", "by": "model"})
        elif 0 < danger <= len(dangers):
            decided.append({**verdict, "finding": "touches", "constraint": dangers[danger - 1]["id"], "by": "model"})
        else:
            decided.append(verdict)
    return decided
