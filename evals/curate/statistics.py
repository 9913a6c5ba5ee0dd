"""How sure a figure is: intervals, paired tests, agreement. The numbers are scipy's."""

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import (  # type: ignore[attr-defined]  # its stubs lag
    DegenerateDataWarning,
    binomtest,
    bootstrap,
    mannwhitneyu,
    permutation_test,
)

CONFIDENCE = 0.95
RESAMPLES = 5_000
FEWEST_CASES = 6
"""A bootstrap of fewer cases pretends to know; nor could any outcome of so few be told from chance (2 / 2^5 > 0.05)."""


class Estimate(NamedTuple):
    """A figure, its 95 % interval, and the number of samples it stands on; NaN where there is no interval."""

    value: float
    low: float
    high: float
    n: int


class Difference(NamedTuple):
    """Two arms on the same samples: how much the second is better, and what chance alone would explain.

    `low` and `high` are NaN where too few or too equal cases give no interval.
    """

    value: float
    low: float
    high: float
    n: int
    won: int
    """Pairs in which only the second passed."""
    lost: int
    """Pairs in which only the first passed."""
    p: float
    """How probable as large a difference is where the arms are the same, case by case."""

    @property
    def is_sure(self) -> bool:
        """Whether chance alone would hardly do it."""
        return self.p < 1 - CONFIDENCE


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
    first: Sequence[bool], second: Sequence[bool], cases: Sequence[Hashable], risky: Sequence[bool]
) -> Difference:
    """Compare two arms pair by pair: the difference of their two-sided scores, or of the one side there is.

    The interval is a bootstrap over cases. The test exchanges the arms within each case, all its samples together:
    where a case has one pair it is McNemar's exact test, and a case that is run ten times counts once.
    """
    pairs = list(zip(first, second, strict=True))
    if not pairs:
        return Difference(float("nan"), float("nan"), float("nan"), 0, 0, 0, 1.0)
    names = list(dict.fromkeys(cases))
    gains, counts = np.zeros((len(names), 2)), np.zeros((len(names), 2))
    for case, is_risky, (before, after) in zip(cases, risky, pairs, strict=True):
        gains[names.index(case), int(is_risky)] += float(after) - float(before)
        counts[names.index(case), int(is_risky)] += 1
    sides = counts.sum(axis=0) > 0

    def mean_gain(chosen: NDArray[Any]) -> float:
        asked = counts[chosen].sum(axis=0)[sides]
        return float((gains[chosen].sum(axis=0)[sides] / asked).mean()) if asked.all() else float("nan")

    everybody = np.arange(len(names))
    return Difference(
        mean_gain(everybody),
        *_bootstrap(mean_gain, len(names)),
        len(pairs),
        won=sum(after and not before for before, after in pairs),
        lost=sum(before and not after for before, after in pairs),
        p=_exchanged((gains[:, sides] / counts.sum(axis=0)[sides]).sum(axis=1)),
    )


def _exchanged(parts: NDArray[Any]) -> float:
    """Return how often a sum at least this far from nothing comes of parts whose signs are chance."""
    parts = parts[parts != 0]
    if not len(parts):
        return 1.0
    if np.allclose(abs(parts), abs(parts[0])):
        return float(binomtest(int((parts > 0).sum()), len(parts)).pvalue)  # McNemar's exact test
    found = permutation_test(
        (parts, np.zeros_like(parts)),
        lambda one, other, axis: (one - other).sum(axis=axis),
        permutation_type="samples",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


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
    yes = [probability for probability, truth in zip(probabilities, truths, strict=True) if truth]
    no = [probability for probability, truth in zip(probabilities, truths, strict=True) if not truth]
    auc = float(mannwhitneyu(yes, no).statistic / (len(yes) * len(no))) if yes and no else float("nan")
    return Calibration(_best_threshold(probabilities, truths), held_out, auc)


def _best_threshold(probabilities: Sequence[float], truths: Sequence[bool]) -> float:
    """Return the middle between two neighbours that splits the samples best; the first such one."""
    known = sorted({0.0, 1.0, *probabilities})
    candidates = [(low + high) / 2 for low, high in pairwise(known)]

    def right(threshold: float) -> int:
        return sum(
            (probability >= threshold) == truth for probability, truth in zip(probabilities, truths, strict=True)
        )

    return max(candidates, key=right)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    return float(np.quantile(np.array(values), share))


def _bootstrap(statistic: Callable[[NDArray[Any]], float], count: int) -> tuple[float, float]:
    """Return the percentile interval of a statistic of drawn indices, NaN where they are too few or tell too little."""
    if count < FEWEST_CASES:
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
    low, high = float(np.nanquantile(draws, tail)), float(np.nanquantile(draws, 1 - tail))
    return (low, high) if low < high else (float("nan"), float("nan"))
