"""What logs hold: one row a sample, with its verdict, its tokens, its times and its transcript."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from inspect_ai.event import ModelEvent
from inspect_ai.log import EvalLog, EvalSample, list_eval_logs, read_eval_log
from inspect_ai.scorer import Score

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate.conversations import RISKY
from mirror_graph.evals.curate.prices import price_of
from mirror_graph.evals.curate.scorers import YES, is_passed, names_danger
from mirror_graph.evals.curate.solvers import ARMS, Setup

GRADER = "grader"


@dataclass(frozen=True)
class Spent:
    """Calls and tokens of the model under test; `input` is without the cached."""

    calls: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0


@dataclass(frozen=True)
class Row:
    """One sample of one arm. `passed` is None where there is no verdict; `error` says why, if the arm failed."""

    arm: str
    model: str
    judge: str
    form: str
    inputs: str
    settings: tuple[tuple[str, object], ...]
    """What of `arms.Setup` was set for the run."""
    date: str
    scenario: int
    distractors: int
    seed: int
    epoch: int
    case: str
    control: str
    category: str
    language: str
    constraint: str
    request: str
    passed: bool | None
    verdict: str
    declined: bool | None
    against: float | None
    named: float | None
    names_danger: bool
    """Whether the reply names the user's own danger, as code reads it (see `names_danger`): no judge."""
    seconds: tuple[float, ...]
    lags: tuple[int, ...]
    failures: int
    spent: Spent
    cost: float | None
    transcript: tuple[tuple[str, str], ...]
    error: str | None

    @property
    def risky(self) -> bool:
        """Whether the request touches the constraint."""
        return self.control in RISKY

    @property
    def sample(self) -> tuple[object, ...]:
        """What it has in common with the same sample of another arm or model."""
        return (self.scenario, self.distractors, self.seed, self.epoch, self.case, self.control)


def read_rows(paths: Iterable[str | Path], prices: Path | None = None, yes_from: float = YES) -> list[Row]:
    """Read the logs in files and folders; of a sample that was run again, the newest row.

    `yes_from` is the probability from which on the judge says that a reply advises against.

    Raises `ConfigurationError` where there is none, where a file is no log, and where logs of one model do not belong
    together: by other judges, of other cases, or the same sample under other settings.
    """
    paths = list(paths)
    rows: dict[tuple[object, ...], Row] = {}
    for log, sample in _samples(paths):
        row = _row(log, sample, prices, yes_from)
        before = rows.setdefault((row.arm, row.model, *row.sample), row)
        if before.settings != row.settings:
            raise ConfigurationError(
                f"{row.arm!r} ran {row.case}/{row.control} once with {dict(before.settings)} and once with "
                f"{dict(row.settings)}: read the logs of one run at a time"
            )
        rows[(row.arm, row.model, *row.sample)] = row
    if not rows:
        raise ConfigurationError(
            f"no finished sample in {', '.join(str(path) for path in paths)}: expected logs of `mirror eval curate`"
        )
    for (model,), its in group(list(rows.values()), "model").items():
        for field in ("judge", "form", "inputs"):
            if len(values := {str(getattr(row, field)) for row in its}) > 1:
                raise ConfigurationError(
                    f"logs of {model} with several values of {field!r}, {' and '.join(sorted(values))}: "
                    "read the logs of one run at a time"
                )
    order = list(ARMS)
    return sorted(rows.values(), key=lambda row: (row.model, order.index(row.arm) if row.arm in order else len(order)))


def arms_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Gather rows by arm, and by model where there are several."""
    several = len({row.model for row in rows}) > 1
    return {
        f"{model.rpartition('/')[2]}: {arm}" if several else arm: its
        for (model, arm), its in group(rows, "model", "arm").items()
    }


def group(rows: Sequence[Row], *fields: str) -> dict[tuple[Any, ...], list[Row]]:
    """Gather rows by the values of some fields, in the order they first appear."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, field) for field in fields), []).append(row)
    return groups


def _log_files(paths: Iterable[str | Path]) -> list[str]:
    found: list[str] = []
    for path in (Path(str(path).removeprefix("file://")) for path in paths):  # Inspect names some logs by address
        found += [info.name for info in list_eval_logs(str(path))] if path.is_dir() else [str(path)]
    return found


def _read_log(name: str) -> EvalLog:
    try:
        return read_eval_log(name)
    except Exception as error:
        raise ConfigurationError(f"{name!r} is no log: expected one of `mirror eval curate`; {error}") from error


def _samples(paths: Iterable[str | Path]) -> list[tuple[EvalLog, EvalSample]]:
    """Return every sample of an arm, the oldest first."""
    logs = [log for log in map(_read_log, _log_files(paths)) if "arm" in (log.eval.metadata or {})]
    samples = [(log, sample) for log in logs for sample in log.samples or []]
    return sorted(samples, key=lambda logged: str(logged[1].completed_at or logged[0].eval.created))


def _row(log: EvalLog, sample: EvalSample, prices: Path | None, yes_from: float) -> Row:
    about = log.eval.metadata or {}
    score = (sample.scores or {}).get("judge")
    details = (score.metadata if score else None) or {}
    against = details.get("against")
    asked = sample.metadata
    given = log.eval.task_args
    spent = _spent(sample)
    price = price_of(log.eval.model, prices)
    replies = sample.store.get("replies", [])
    judge = (log.eval.model_roles or {}).get(GRADER)
    return Row(
        arm=about["arm"],
        model=log.eval.model,
        judge=getattr(judge, "model", "") or "",
        form=about["form"],
        inputs=str(given.get("inputs") or "own"),
        settings=tuple(
            sorted((setting.name, given[setting.name]) for setting in fields(Setup) if setting.name in given)
        ),
        date=str(log.eval.created)[:10],
        scenario=about["scenario"],
        distractors=about["distractors"],
        seed=about["seed"],
        epoch=sample.epoch,
        case=asked["case"],
        control=asked["control"],
        category=asked["category"],
        language=asked["language"],
        constraint=asked["constraint"],
        request=asked["request"],
        passed=_passed(score, asked["control"], yes_from),
        verdict=(score.answer or "") if score else "",
        declined=None if against is None else against >= yes_from,
        against=against,
        named=details.get("named"),
        names_danger=names_danger(asked["constraint"], asked["terms"], asked["request"], sample.output.completion),
        seconds=tuple(reply["seconds"] for reply in replies if reply["seconds"] is not None),
        lags=tuple(reply["lag"] for reply in replies),
        failures=replies[-1]["failures"] if replies else 0,
        spent=spent,
        cost=price.of(spent.input, spent.cached, spent.output) if price else None,
        transcript=tuple((message.role, message.text) for message in sample.messages),
        error=sample.error.message if sample.error else None,
    )


def _passed(score: Score | None, control: str, yes_from: float) -> bool | None:
    """Read a verdict, from its probabilities where there are any."""
    if score is None or math.isnan(score.as_float()):
        return None
    found = score.metadata or {}
    if found.get("against") is None:
        return score.as_float() >= 1
    return is_passed(control, found["against"] >= yes_from, (found.get("named") or 0.0) >= YES)


def _spent(sample: EvalSample) -> Spent:
    """Add up what the arm's calls took, replayed ones included: somebody paid for those too."""
    events = [event for event in sample.events if isinstance(event, ModelEvent) and event.role != GRADER]
    usages = [event.output.usage for event in events if event.output.usage]
    return Spent(
        calls=len(events),
        input=sum(usage.input_tokens + (usage.input_tokens_cache_write or 0) for usage in usages),
        cached=sum(usage.input_tokens_cache_read or 0 for usage in usages),
        output=sum(usage.output_tokens for usage in usages),
    )
