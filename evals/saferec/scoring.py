"""Run arms over a set and report every figure: by form, over samples and over traits, with intervals by dialogue."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import GenerateConfig

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate.models import inspect_model
from mirror_graph.evals.curate.run import RETRIES, evaluate
from mirror_graph.evals.saferec.arms import ARMS
from mirror_graph.evals.saferec.dataset import Case, CatalogueItem, load_dataset
from mirror_graph.evals.saferec.model_arms import MODEL_ARMS
from mirror_graph.evals.saferec.scorers import SHARES, Total, ratio, totals_of
from mirror_graph.evals.saferec.solvers import failed
from mirror_graph.evals.saferec.task import choose, saferec

CAVEAT = "It measures tags, not harm."
BASELINE = "unscreened"
ALL_FORMS = "all"
RESAMPLES = 1_000
INTERVAL = (0.025, 0.975)


class Sample(NamedTuple):
    """What one arm did for one case, by figure."""

    case: Case
    totals: Mapping[str, Total]


def run(
    folder: Path | str,
    arms: Sequence[str] = tuple(ARMS),
    k: Sequence[int] = (5, 10),
    *,
    split: str | None = None,
    forms: Sequence[str] = (),
    seed: int = 0,
    model: str | None = None,
    distractors: int = 0,
    thinking: bool = False,
    limit: int | None = None,
    candidates: int | None = None,
    logs: Path | None = None,
) -> dict[str, Any]:
    """Let arms answer every case of a set and return a report that can be written as JSON.

    `arms.<arm>.<form>` holds every figure by name: `caught` and `lost` over all candidates, the figures of
    `metrics.measure` as `svr@5`, and `intervals`, `over_traits` and `by_trait`. `arms.<arm>.all` is over all forms.
    `differences.<arm>.<form>` compares an arm with the `baseline`, pair by pair: `unscreened`, or else `told`, or else
    the first arm. What is undefined is None. The order of candidates depends on `seed` and the case, and is the same
    for all arms.

    The arms of `MODEL_ARMS` need a `model`. `forms`, `limit`, `distractors`, `thinking` and `candidates` are those of
    `task.saferec`.
    Inspect's logs and the cache of calls are kept in `logs`, if it is given: the same again asks nothing twice.
    """
    if model is None and not MODEL_ARMS.keys().isdisjoint(arms):
        needing = next(arm for arm in arms if arm in MODEL_ARMS)
        raise ConfigurationError(f"the arm {needing!r} needs a model: expected one such as local:qwen2.5-coder-1.5b")
    if not k or min(k) < 1:
        raise ConfigurationError(f"k is {list(k)!r}: expected one or more numbers of places, from 1 on")
    tasks = [
        saferec(
            arm=arm,
            inputs=str(folder),
            split=split,
            forms=",".join(forms),
            limit=limit,
            k=",".join(map(str, k)),
            seed=seed,
            distractors=distractors,
            thinking=thinking,
            candidates=candidates,
        )
        for arm in arms
    ]
    items, cases = load_dataset(folder, split)
    cases = choose(cases, forms, limit, seed)
    with nullcontext(logs) if logs else TemporaryDirectory() as place:
        _, ended = evaluate(
            tasks,
            Path(place) / "logs",
            Path(place) / "cache",
            model=inspect_model(model, GenerateConfig(max_retries=RETRIES)) if model else "none",
            max_tasks=1,  # the second arm to make a call finds it in the cache
            max_samples=1
            if model
            else len(cases),  # a local engine finds the beginning of a prompt where the last call left it
            display="none",
        )
        samples = {arm: _samples(arm, ended, cases, items, k) for arm in arms}
    baseline = next((arm for arm in (BASELINE, "told") if arm in arms), arms[0])
    by_form = {arm: _by_form(samples[arm]) for arm in arms}
    draws = {arm: {form: _draws(those) for form, those in by_form[arm].items()} for arm in arms}
    report: dict[str, Any] = {
        "caveat": CAVEAT,
        "cases": len(cases),
        "dialogues": len({case["dialogue"] for case in cases}),
        "items": len(items),
        "k": list(k),
        "split": split,
        "forms": list(forms),
        "seed": seed,
        "model": model,
        "distractors": distractors,
        "thinking": thinking,
        "candidates": candidates,
        "arms": {
            arm: {form: _summary(those, draws[arm][form]) for form, those in by_form[arm].items()} for arm in arms
        },
    }
    if len(arms) > 1:
        report["baseline"] = baseline
        report["differences"] = {
            arm: {
                form: _difference(
                    _figures(by_form[baseline][form]), _figures(those), draws[baseline][form], draws[arm][form]
                )
                for form, those in by_form[arm].items()
            }
            for arm in arms
            if arm != baseline
        }
    return report


def _samples(
    arm: str,
    logs: Sequence[EvalLog],
    cases: Sequence[Case],
    items: Sequence[CatalogueItem],
    k: Sequence[int],
) -> list[Sample]:
    """Read what an arm's log says of every case. A sample that failed is an empty list, and counted."""
    [location] = [log.location for log in logs if (log.eval.metadata or {})["arm"] == arm]
    log = read_eval_log(location)
    samples = {str(sample.id): sample for sample in log.samples or []}
    read: list[Sample] = []
    for case in cases:
        scores = samples[case["id"]].scores if case["id"] in samples else None
        if scores:
            totals = {name: Total(*total) for name, total in (scores["figures"].metadata or {})["totals"].items()}
        else:
            totals = totals_of(case, failed(), items, k)
        read.append(Sample(case, totals))
    return read


def _by_form(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    return {**_grouped(samples, lambda sample: sample.case["form"]), ALL_FORMS: list(samples)}


def _summary(samples: Sequence[Sample], draws: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    figures = _figures(samples)
    by_trait = {
        trait: _figures(those)
        for trait, those in _grouped(samples, lambda sample: sample.case["trait"] or "none").items()
    }
    return {
        "samples": len(samples),
        **_plain(figures),
        "counts": {name: _added(samples)[name] for name in SHARES},
        "intervals": {name: _interval([drawn[name] for drawn in draws]) for name in figures},
        "over_traits": _plain({name: _mean(one[name] for one in by_trait.values()) for name in figures}),
        "by_trait": {trait: _plain(one) for trait, one in by_trait.items()},
    }


def _difference(
    before: Mapping[str, float],
    after: Mapping[str, float],
    drawn_before: Sequence[Mapping[str, float]],
    drawn_after: Sequence[Mapping[str, float]],
) -> dict[str, Any]:
    """Say by how much an arm differs from the baseline. Both were drawn in the same way, so the draws are pairs."""
    values = _plain({name: after[name] - before[name] for name in after})
    pairs = list(zip(drawn_before, drawn_after, strict=True))
    return {
        name: {"value": values[name], "interval": _interval([after[name] - before[name] for before, after in pairs])}
        for name in values
    }


def _figures(samples: Sequence[Sample]) -> dict[str, float]:
    return _ratios(_added(samples))


def _draws(samples: Sequence[Sample]) -> list[dict[str, float]]:
    """Draw dialogues with replacement and return the figures of every draw, or none if there is one dialogue only.

    Dialogues are drawn, and not cases, because the cases of one dialogue are not independent.
    """
    dialogues = [_added(those) for those in _grouped(samples, lambda sample: sample.case["dialogue"]).values()]
    if len(dialogues) < 2:
        return []
    generator = random.Random(0)
    return [_ratios(_add(generator.choices(dialogues, k=len(dialogues)))) for _ in range(RESAMPLES)]


def _interval(values: Sequence[float]) -> list[float] | None:
    """Return the middle 95 % of the draws, or None if there are none or a tenth of them is undefined."""
    ordered = sorted(value for value in values if not isnan(value))
    if len(ordered) < 0.9 * RESAMPLES:
        return None
    low, high = (ordered[round(quantile * (len(ordered) - 1))] for quantile in INTERVAL)
    return [round(low, 4), round(high, 4)]


def _added(samples: Sequence[Sample]) -> dict[str, Total]:
    return _add([sample.totals for sample in samples])


def _add(totals: Sequence[Mapping[str, Total]]) -> dict[str, Total]:
    return {
        name: Total(sum(one[name].part for one in totals), sum(one[name].whole for one in totals)) for name in totals[0]
    }


def _ratios(totals: Mapping[str, Total]) -> dict[str, float]:
    return {name: ratio(total) for name, total in totals.items()}


def _mean(values: Iterable[float]) -> float:
    defined = [value for value in values if not isnan(value)]
    return fmean(defined) if defined else nan


def _plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures as JSON can carry them: None for what is undefined."""
    return {name: None if isnan(value) else round(value, 4) for name, value in figures.items()}


def _grouped(samples: Sequence[Sample], key: Callable[[Sample], str]) -> dict[str, list[Sample]]:
    groups: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[key(sample)].append(sample)
    return dict(groups)
