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
    """Which entries are touched, what it took, and the failure's class where the matcher had to answer."""

    ids: list[str]
    tokens: Tokens
    seconds: float
    failure: str = ""


async def check(
    entries: Sequence[SafetyConstraint], words: str, context: MirrorContext, turn: int, seconds: float = CHECK_SECONDS
) -> CheckResult:
    """Ask which entries `words` touch; where no answer comes within `seconds`, the matcher decides."""
    started = time.perf_counter()
    if not entries:
        return CheckResult([], NO_TOKENS, 0.0)
    steady = replace(context, temperature=0.0)
    try:
        async with asyncio.timeout(seconds):
            answer = await ask_structured(CHECK, check_prompt(entries, words), Verdict, steady, turn, CHECK_TOKENS)
    except (CallError, TimeoutError) as error:
        cause = getattr(error, "cause", None) or error
        return CheckResult(relevant(entries, words), NO_TOKENS, time.perf_counter() - started, type(cause).__name__)
    named = set(answer.value.touched)
    ids = [entry["id"] for number, entry in enumerate(entries, 1) if number in named]
    return CheckResult(ids, answer.tokens, time.perf_counter() - started)


def check_prompt(entries: Sequence[SafetyConstraint], words: str) -> list[BaseMessage]:
    """Lay out the question: the dangers, numbered, then the user's words."""
    dangers = "\n".join(
        f"{number}. {entry['kind']}: {quoted(entry['about'])}, as they said it: {quoted(entry['source']['quote'])}"
        for number, entry in enumerate(entries, 1)
    )
    return [HumanMessage(render("check", dangers=dangers, words=quoted(truncate_middle(words, WORDS_TOKENS))))]
