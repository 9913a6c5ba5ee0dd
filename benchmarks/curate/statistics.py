"""How sure a figure is: intervals, paired tests, agreement. The numbers are scipy's."""

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, binomtest, bootstrap, mannwhitneyu  # type: ignore[attr-defined]  # its stubs lag

CONFIDENCE = 0.95
RESAMPLES = 5_000


class Estimate(NamedTuple):
    """A figure, its 95 % interval, and the number of samples or pairs it stands on."""

    value: float
    low: float
    high: float
    n: int


class Difference(NamedTuple):
    """Two arms on the same samples: how much the second is better, and what chance alone would explain."""

    value: float
    low: float
    high: float
    n: int
    won: int
    """Pairs in which only the second passed."""
    lost: int
    """Pairs in which only the first passed."""
    p: float
    """McNemar's exact two-sided probability."""


def pass_rate(passed: Sequence[bool]) -> Estimate | None:
    """Return the share that passed, with Wilson's interval, or None without a sample."""
    if not passed:
        return None
    interval = binomtest(sum(passed), len(passed)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(sum(passed) / len(passed), float(interval.low), float(interval.high), len(passed))


def two_sided_score(cases: Sequence[Hashable], passed: Sequence[bool], risky: Sequence[bool]) -> Estimate | None:
    """Return the mean of both sides' pass rates, or None where a side has no sample.

    The interval is a bootstrap over cases: a case's samples stand or fall together.
    """
    rows = list(zip(cases, passed, risky, strict=True))
    if len({side for _, _, side in rows}) < 2:
        return None
    names = list(dict.fromkeys(cases))
    counts = np.zeros((len(names), 4))
    for case, is_pass, is_risky in rows:
        counts[names.index(case), [0 if is_risky else 2, 1 if is_risky else 3]] += [is_pass, 1]

    def score(chosen: NDArray[Any]) -> float:
        won, tried, answered, asked = counts[chosen].sum(axis=0)
        return float((won / tried + answered / asked) / 2) if tried and asked else float("nan")

    return Estimate(score(np.arange(len(names))), *_bootstrap(score, len(names)), len(rows))


def paired_difference(
    first: Sequence[bool], second: Sequence[bool], cases: Sequence[Hashable] | None = None
) -> Difference:
    """Compare two arms pair by pair; the interval is a bootstrap over cases (or pairs)."""
    pairs = list(zip(first, second, strict=True))
    won = sum(after and not before for before, after in pairs)
    lost = sum(before and not after for before, after in pairs)
    p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    if not pairs:
        return Difference(float("nan"), float("nan"), float("nan"), 0, 0, 0, 1.0)
    gains = np.array([float(after) - float(before) for before, after in pairs])
    owners = list(cases) if cases is not None else list(range(len(pairs)))
    members = [np.flatnonzero([owner == name for owner in owners]) for name in dict.fromkeys(owners)]

    def mean_gain(chosen: NDArray[Any]) -> float:
        return float(gains[np.concatenate([members[index] for index in chosen])].mean())

    low, high = _bootstrap(mean_gain, len(members))
    return Difference(float(gains.mean()), low, high, len(pairs), won, lost, p)


def mean_of(values: Sequence[float]) -> Estimate | None:
    """Return the mean with a bootstrap interval, or None without a value."""
    if not values:
        return None
    array = np.array(values)
    low, high = _bootstrap(lambda chosen: float(array[chosen].mean()), len(values))
    return Estimate(float(array.mean()), low, high, len(values))


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Return Cohen's kappa: agreement beyond what the two raters' habits alone would give; NaN without variety."""
    n = len(first)
    observed = sum(one == other for one, other in zip(first, second, strict=True)) / n
    left, right = Counter(first), Counter(second)
    expected = sum(left[rating] * right[rating] for rating in left) / n**2
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


class Calibration(NamedTuple):
    """How well a probability separates two kinds: the threshold to use, and how right it was on unseen samples."""

    yes_from: float
    held_out: list[bool]
    auc: float


def calibrate(probabilities: Sequence[float], truths: Sequence[bool]) -> Calibration:
    """Find the threshold that is right most often. Each sample's own guess is by the threshold of all others."""
    held_out = []
    for place, (probability, truth) in enumerate(zip(probabilities, truths, strict=True)):
        others = [*probabilities[:place], *probabilities[place + 1 :]]
        threshold = _best_threshold(others, [*truths[:place], *truths[place + 1 :]])
        held_out.append((probability >= threshold) == truth)
    yes = [it for it, truth in zip(probabilities, truths, strict=True) if truth]
    no = [it for it, truth in zip(probabilities, truths, strict=True) if not truth]
    auc = float(mannwhitneyu(yes, no).statistic / (len(yes) * len(no))) if yes and no else float("nan")
    return Calibration(_best_threshold(probabilities, truths), held_out, auc)


def _best_threshold(probabilities: Sequence[float], truths: Sequence[bool]) -> float:
    """Return the middle between two neighbours that splits the samples best; the first such one."""
    known = sorted({0.0, 1.0, *probabilities})
    candidates = [(low + high) / 2 for low, high in pairwise(known)]

    def right(threshold: float) -> int:
        return sum((it >= threshold) == truth for it, truth in zip(probabilities, truths, strict=True))

    return max(candidates, key=right)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    return float(np.quantile(np.array(values), share))


def _bootstrap(statistic: Callable[[NDArray[Any]], float], count: int) -> tuple[float, float]:
    """Return the percentile interval of a statistic of drawn indices; with one index there is none."""
    if count < 2:
        return float("nan"), float("nan")
    with warnings.catch_warnings():
        # A resample may hold one side only, and then has no score; the others make the interval.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            (np.arange(count),),
            statistic,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            vectorized=False,
            rng=np.random.default_rng(0),
        )
    draws = found.bootstrap_distribution
    tail = (1 - CONFIDENCE) / 2
    return float(np.nanquantile(draws, tail)), float(np.nanquantile(draws, 1 - tail))
