"""One short call before the reply that asks which constraints the message touches."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import BaseModel

from mirror_graph.calls.structured import ask_structured
from mirror_graph.errors import CallError
from mirror_graph.prompts import quoted, render
from mirror_graph.relevance.levels import relevant
from mirror_graph.state import MirrorContext, Tokens
from mirror_graph.state.tokens import truncate_middle
from mirror_graph.state.usage import NO_TOKENS
from mirror_graph.state.values import SafetyConstraint

CHECK = "check"
CHECK_TOKENS = 64
CHECK_SECONDS = 3.0
"""What a reply may wait for its check."""

WORDS_TOKENS = 1_000
"""How much of the user's words is judged."""


class Verdict(BaseModel):
    """The numbers of the dangers that a request touches."""

    touched: list[int]


class CheckResult(NamedTuple):
    """The ids of the constraints that are touched, what the check took, and the failure's class if it failed.

    After a failure the ids are the matcher's.
    """

    ids: list[str]
    tokens: Tokens
    seconds: float
    failure: str = ""


async def check(
    constraints: Sequence[SafetyConstraint],
    words: str,
    context: MirrorContext,
    turn: int,
    seconds: float = CHECK_SECONDS,
) -> CheckResult:
    """Ask a model which constraints `words` touch; if no answer comes within `seconds`, the matcher decides."""
    started = time.perf_counter()
    if not constraints:
        return CheckResult([], NO_TOKENS, 0.0)
    steady = replace(context, temperature=0.0)
    try:
        async with asyncio.timeout(seconds):
            answer = await ask_structured(CHECK, check_prompt(constraints, words), Verdict, steady, turn, CHECK_TOKENS)
    except (CallError, TimeoutError) as error:
        cause = getattr(error, "cause", None) or error
        return CheckResult(relevant(constraints, words), NO_TOKENS, time.perf_counter() - started, type(cause).__name__)
    ids: list[str] = []
    for number, constraint in enumerate(constraints, 1):
        # Numbers that stand for no constraint are ignored: a small model counts on.
        if number in answer.value.touched:
            ids.append(constraint["id"])
    return CheckResult(ids, answer.tokens, time.perf_counter() - started)


def check_prompt(constraints: Sequence[SafetyConstraint], words: str) -> list[BaseMessage]:
    """Return the prompt of a check: the dangers, numbered, then the user's words."""
    dangers = numbered_dangers(constraints)
    return [HumanMessage(render("check", dangers=dangers, words=quoted(truncate_middle(words, WORDS_TOKENS))))]


def numbered_dangers(constraints: Sequence[SafetyConstraint]) -> str:
    """Return a line per danger, numbered from 1: its kind, what it is about, and the user's own words."""
    lines: list[str] = []
    for number, constraint in enumerate(constraints, 1):
        quote = quoted(constraint["source"]["quote"])
        lines.append(f"{number}. {constraint['kind']}: {quoted(constraint['about'])}, as they said it: {quote}")
    return "\n".join(lines)
