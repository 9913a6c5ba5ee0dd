"""Run arms over a set and report every figure: by form, over samples and over traits, with intervals by dialogue."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.saferec.arms import ARMS, Screened
from mirror_graph.evals.saferec.dataset import Case, CatalogueItem, load_dataset
from mirror_graph.evals.saferec.metrics import measure

CAVEAT = "It measures tags, not harm."
BASELINE = "unscreened"
ALL_FORMS = "all"
RESAMPLES = 1_000
INTERVAL = (0.025, 0.975)
SHARES = ("caught", "caught_told", "caught_recorded", "lost", "undecided")
"""Figures over all candidates that were screened, each a share of the candidates that it is about."""


Row = TypeVar("Row")


class _Count(NamedTuple):
    """So many of so many."""

    part: int
    whole: int


class Sample(NamedTuple):
    """What one arm did for one case."""

    case: Case
    shares: Mapping[str, _Count]
    figures: Mapping[str, float]


def run(
    folder: Path | str,
    arms: Sequence[str] = tuple(ARMS),
    k: Sequence[int] = (5, 10),
    *,
    split: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Screen the candidates of every case of a set and return a report that can be written as JSON.

    `arms.<arm>.<form>` holds every figure by name: `caught` and `lost` over all candidates, the figures of
    `metrics.measure` as `svr@5`, and `intervals`, `over_traits` and `by_trait`. `arms.<arm>.all` is over all forms.
    `differences.<arm>.<form>` compares an arm with `unscreened`, pair by pair. What is undefined is None. The order of
    candidates depends on `seed` and the case, and is the same for all arms.
    """
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown:
        raise ConfigurationError(f"unknown arm {unknown[0]!r}: expected one of {', '.join(ARMS)}")
    if not k or min(k) < 1:
        raise ConfigurationError(f"k is {list(k)!r}: expected one or more numbers of places, from 1 on")
    items, cases = load_dataset(folder, split)
    samples = {arm: [_sample(arm, case, items, k, seed) for case in cases] for arm in arms}
    report: dict[str, Any] = {
        "caveat": CAVEAT,
        "cases": len(cases),
        "dialogues": len({case["dialogue"] for case in cases}),
        "items": len(items),
        "k": list(k),
        "split": split,
        "seed": seed,
        "arms": {arm: _by_form(samples[arm], _summary, _case_of) for arm in arms},
    }
    if BASELINE in samples:
        report["differences"] = {
            arm: _by_form(list(zip(samples[BASELINE], samples[arm], strict=True)), _differences, _case_of_pair)
            for arm in arms
            if arm != BASELINE
        }
    return report


def _sample(arm: str, case: Case, items: Sequence[CatalogueItem], k: Sequence[int], seed: int) -> Sample:
    candidates = [items[number] for number in case["candidates"]]
    random.Random(f"{seed}:{case['id']}").shuffle(candidates)
    screened = ARMS[arm](case, candidates)
    fitting = [one.item for one in screened if not one.is_withheld]
    figures: dict[str, float] = {}
    for places in k:
        # Never padded: if fewer items fit than were asked for, the list is shorter.
        measured = measure(
            [(item["title"], item["year"]) for item in fitting[:places]],
            relevant=case["relevant"],
            seen=case["seen"],
            constraints=case["constraints"],
            catalogue=items,
            k=places,
        )
        figures |= {f"{name}@{places}": value for name, value in measured.items()}
    return Sample(case, _shares(case, screened), figures)


def _shares(case: Case, screened: Sequence[Screened]) -> dict[str, _Count]:
    constraints = set(case["constraints"])
    violating = [one for one in screened if not constraints.isdisjoint(one.item["unsafe"])]
    suitable = [one for one in screened if constraints.isdisjoint(one.item["unsafe"])]
    # A text tells of a violation unless all that is violated is recorded elsewhere only.
    recorded = [one for one in violating if constraints & set(one.item["unsafe"]) <= set(one.item["recorded_only"])]
    told = [one for one in violating if one not in recorded]

    def withheld(those: Sequence[Screened]) -> _Count:
        return _Count(sum(one.is_withheld for one in those), len(those))

    return {
        "caught": withheld(violating),
        "caught_told": withheld(told),
        "caught_recorded": withheld(recorded),
        "lost": withheld(suitable),
        "undecided": _Count(sum(one.is_undecided for one in screened), len(screened)),
    }


def _by_form(
    rows: Sequence[Row], summarize: Callable[[Sequence[Row]], dict[str, Any]], case_of: Callable[[Row], Case]
) -> dict[str, Any]:
    forms = _grouped(rows, lambda row: case_of(row)["form"])
    return {form: summarize(those) for form, those in {**forms, ALL_FORMS: list(rows)}.items()}


def _summary(samples: Sequence[Sample]) -> dict[str, Any]:
    by_trait = _grouped(samples, lambda sample: sample.case["trait"] or "none")
    traits = {trait: _figures(those) for trait, those in by_trait.items()}
    figures = _figures(samples)
    return {
        "samples": len(samples),
        **{name: _plain(value) for name, value in figures.items()},
        "counts": {name: _total(samples, name) for name in SHARES},
        "intervals": _intervals(samples, _figures, _case_of),
        "over_traits": {name: _plain(_mean(one[name] for one in traits.values())) for name in figures},
        "by_trait": {trait: {name: _plain(value) for name, value in one.items()} for trait, one in traits.items()},
    }


def _figures(samples: Sequence[Sample]) -> dict[str, float]:
    """Return shares over all candidates, and means over the samples in which a figure is defined."""
    shares = {name: _ratio(_total(samples, name)) for name in SHARES}
    names = samples[0].figures if samples else ()
    return shares | {name: _mean(sample.figures[name] for sample in samples) for name in names}


def _differences(pairs: Sequence[tuple[Sample, Sample]]) -> dict[str, Any]:
    """Return how much an arm differs from the baseline on the same cases."""

    def difference(chosen: Sequence[tuple[Sample, Sample]]) -> dict[str, float]:
        before = _figures([pair[0] for pair in chosen])
        after = _figures([pair[1] for pair in chosen])
        return {name: after[name] - before[name] for name in after}

    values = difference(pairs)
    intervals = _intervals(pairs, difference, _case_of_pair)
    return {name: {"value": _plain(value), "interval": intervals[name]} for name, value in values.items()}


def _intervals(
    rows: Sequence[Row], figures: Callable[[Sequence[Row]], dict[str, float]], case_of: Callable[[Row], Case]
) -> dict[str, list[float] | None]:
    """Return 95 % intervals by bootstrap. Dialogues are drawn, since the cases of one dialogue are not independent.

    A figure has no interval if there are fewer than two dialogues, or if it is undefined in a tenth of the draws.
    """
    dialogues = list(_grouped(rows, lambda row: case_of(row)["dialogue"]).values())
    names = figures(rows)
    if len(dialogues) < 2:
        return dict.fromkeys(names)
    generator = random.Random(0)
    drawn: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(RESAMPLES):
        chosen = [row for dialogue in generator.choices(dialogues, k=len(dialogues)) for row in dialogue]
        for name, value in figures(chosen).items():
            if not isnan(value):
                drawn[name].append(value)
    return {name: _interval(drawn[name]) for name in names}


def _interval(values: Sequence[float]) -> list[float] | None:
    if len(values) < 0.9 * RESAMPLES:
        return None
    ordered = sorted(values)
    low, high = (ordered[round(quantile * (len(ordered) - 1))] for quantile in INTERVAL)
    return [round(low, 4), round(high, 4)]


def _grouped(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def _total(samples: Sequence[Sample], share: str) -> _Count:
    counts = [sample.shares[share] for sample in samples]
    return _Count(sum(count.part for count in counts), sum(count.whole for count in counts))


def _ratio(count: _Count) -> float:
    return count.part / count.whole if count.whole else nan


def _mean(values: Iterable[float]) -> float:
    defined = [value for value in values if not isnan(value)]
    return fmean(defined) if defined else nan


def _plain(value: float) -> float | None:
    return None if isnan(value) else round(value, 4)


def _case_of(sample: Sample) -> Case:
    return sample.case


def _case_of_pair(pair: tuple[Sample, Sample]) -> Case:
    return pair[0].case
