"""A rehearsal: the run against an endpoint that pretends, to know calls, tokens and cost before they are paid for."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mirror_graph.evals.curate.dataset import read_cases
from mirror_graph.evals.curate.prices import price_of
from mirror_graph.evals.curate.results import Spent, group, read_rows
from mirror_graph.evals.curate.run import Plan, run
from mirror_graph.evals.curate.task import spread
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from mirror_graph.testing.environment import environment

JUDGE_CALLS = {"questions": 2, "rubric": 1, "none": 0}
JUDGE_TOKENS = 250
"""What one question to the judge takes, about."""


@dataclass(frozen=True)
class Forecast:
    """What a run, or one arm of it, will take of the model under test; `cost` is None where the price is unknown."""

    name: str
    samples: int
    calls: int
    input: int
    cached: int
    output: int
    cost: float | None


def forecast(plan: Plan, prices: Path | None = None) -> list[Forecast]:
    """Rehearse one case of each arm and conversation, scale it up, and add a line for the judge.

    Samples that are named are all rehearsed.
    """
    cases = 1 if plan.samples else len(spread(read_cases(plan.inputs), plan.cases))
    with tempfile.TemporaryDirectory() as folder, pretend(plan.setup.reply_tokens) as _:
        played = plan.cases if plan.samples else 1
        pretended = replace(plan, model="openai:rehearsal", judge="openai:judge", cases=played, epochs=1)
        run(pretended, Path(folder), display="none")
        rows = read_rows([folder])
    times = cases * plan.epochs
    lines = []
    for (arm,), found in group(rows, "arm").items():
        spent = [row.spent for row in found]
        total = Spent(
            *(sum(getattr(usage, field) for usage in spent) * times for field in ("calls", "input", "cached", "output"))
        )
        price = price_of(plan.model, prices)
        cost = price.of(total.input, total.cached, total.output) if price else None
        lines.append(Forecast(arm, len(found) * times, total.calls, total.input, total.cached, total.output, cost))
    if plan.form == "none":
        return lines
    samples = sum(line.samples for line in lines)
    calls = samples * JUDGE_CALLS[plan.form]
    price = price_of(plan.judge_name, prices)
    cost = price.of(calls * JUDGE_TOKENS, 0, calls * 4) if price else None
    return [*lines, Forecast("judge", samples, calls, calls * JUDGE_TOKENS, 0, calls * 4, cost)]


@contextmanager
def pretend(reply_tokens: int) -> Iterator[Endpoint]:
    """Serve replies of that length at once, and let `openai:` models talk to it."""
    with pretender(reply_tokens) as endpoint, environment(OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY="none"):
        yield endpoint


def pretender(reply_tokens: int, delay: float = 0.0) -> Endpoint:
    """Return an endpoint whose replies have that length, whose schemas are filled, and whose judge says yes."""
    return Endpoint(lambda call: Answer(_text(call, reply_tokens), delay=delay))


def _text(call: Call, reply_tokens: int) -> str:
    if "Answer with one word" in str(call.messages[-1]["content"]):
        return "Yes"
    asked: dict[str, Any] = call.body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    if fields := asked.get("properties"):
        return json.dumps(
            {name: "word " * 50 if field.get("type") == "string" else [] for name, field in fields.items()}
        )
    longest = call.body.get("max_tokens") or call.body.get("max_completion_tokens") or reply_tokens
    return "word " * min(int(longest * 0.8), 240)
