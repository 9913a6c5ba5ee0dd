"""The solver of every arm: a sample's case and candidates become an answer, which the scorer reads from the store."""

from collections.abc import Mapping, Sequence
from typing import Any

from inspect_ai.event import ModelEvent
from inspect_ai.log import transcript
from inspect_ai.model import ModelOutput, ModelUsage
from inspect_ai.solver import Generate, Solver, TaskState, solver

from mirror_graph.errors import ConfigurationError, MirrorError
from mirror_graph.evals.saferec.arms import ARMS, Answer, Screened, listed
from mirror_graph.evals.saferec.dataset import OWN, CatalogueItem, load_dataset
from mirror_graph.evals.saferec.model_arms import MODEL_ARMS, Run
from mirror_graph.state.usage import NO_TOKENS
from mirror_graph.state.values import Tokens

ANSWER = "answer"
"""Where a sample's answer is stored."""


@solver
def recommend(arm: str, k: int, inputs: str | None = None, thinking: bool = False) -> Solver:
    """Let an arm answer a sample's request with a list of `k` items.

    A call that fails in all its tries gives an empty list, and is counted.
    """
    if arm not in ARMS and arm not in MODEL_ARMS:
        raise ConfigurationError(f"unknown arm {arm!r}: expected one of {', '.join([*ARMS, *MODEL_ARMS])}")
    items = load_dataset(inputs or OWN).items
    run = Run(k, thinking)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        case, numbers = state.metadata["case"], state.metadata["candidates"]
        candidates = [items[number] for number in numbers]
        if arm in ARMS:
            answer = listed(ARMS[arm](case, candidates))
        else:
            try:
                answer = await MODEL_ARMS[arm](run, case, candidates)
            except MirrorError:
                answer = failed()
            answer = _with_costs(answer)
        state.store.set(ANSWER, _stored(answer, candidates, numbers))
        state.output = ModelOutput.from_content(str(state.model), "\n".join(title for title, _ in answer.shown))
        return state

    return solve


def failed() -> Answer:
    """Return what counts for a sample whose call failed."""
    return Answer([], [], NO_TOKENS, 0.0, failures=1)


def answer_from(stored: Mapping[str, Any], items: Sequence[CatalogueItem]) -> Answer:
    """Read an answer from a sample's store."""
    screened = [Screened(items[number], withheld, undecided) for number, withheld, undecided in stored["screened"]]
    shown = [(title, year) for title, year in stored["shown"]]
    return Answer(shown, screened, stored["tokens"], stored["seconds"], stored["rounds"], stored["failures"])


def _stored(answer: Answer, candidates: Sequence[CatalogueItem], numbers: Sequence[int]) -> dict[str, Any]:
    number_of = {id(item): number for item, number in zip(candidates, numbers, strict=True)}
    screened = [[number_of[id(one.item)], one.is_withheld, one.is_undecided] for one in answer.screened]
    return {**answer._asdict(), "shown": [list(title) for title in answer.shown], "screened": screened}


def _with_costs(answer: Answer) -> Answer:
    """Add what the calls of a sample took. One that was read from the cache counts what it took when it was made."""
    calls = [event.output for event in transcript().events if isinstance(event, ModelEvent)]
    usages = [call.usage or ModelUsage() for call in calls]
    cached = sum(usage.input_tokens_cache_read or 0 for usage in usages)
    tokens: Tokens = {
        "calls": len(calls),
        "input": cached + sum(usage.input_tokens + (usage.input_tokens_cache_write or 0) for usage in usages),
        "output": sum(usage.output_tokens for usage in usages),
        "cached": cached,
    }
    return answer._replace(tokens=tokens, seconds=sum(call.time or 0.0 for call in calls))
