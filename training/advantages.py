"""How GDPO turns several rewards into one advantage (arXiv 2601.05242), as TRL's trainer does it.

Each reward is normalized within the group of completions that answer one prompt. Their weighted sum is normalized over
the batch. So a reward with a small spread counts as much as one with a large spread. The trainer computes this itself:
this module documents it, and a contract test compares the two.
"""

from collections.abc import Sequence
from statistics import fmean, stdev

from mirror_graph.training.errors import TrainingError

EPSILON = 1e-4


def gdpo_advantages(
    rewards: Sequence[Sequence[float]], *, num_generations: int, weights: Sequence[float]
) -> list[float]:
    """Return the advantage of every completion of a batch.

    `rewards` holds one sequence per reward, each with a value per completion; the completions of a group follow each
    other. `TrainingError` if the sequences are not equally long, or are not made of whole groups.
    """
    size = len(rewards[0]) if rewards else 0
    if len(weights) != len(rewards) or any(len(values) != size for values in rewards):
        raise TrainingError("expected one weight per reward, and as many values of every reward as completions")
    if num_generations < 2 or size == 0 or size % num_generations:
        raise TrainingError(f"{size} completions: expected whole groups of {num_generations}, at least 2 in each")
    sums = [0.0] * size
    for values, weight in zip(rewards, weights, strict=True):
        for start in range(0, size, num_generations):
            group = normalize(values[start : start + num_generations])
            for place, value in enumerate(group, start=start):
                sums[place] += weight * value
    return normalize(sums)


def normalize(values: Sequence[float]) -> list[float]:
    """Return values with mean 0 and, unless they are all equal, a standard deviation of nearly 1."""
    mean, spread = fmean(values), stdev(values)
    return [(value - mean) / (spread + EPSILON) for value in values]


def is_flat(group: Sequence[Sequence[float]]) -> bool:
    """Say whether all completions of a group have the same rewards, so that nothing can be learned from it."""
    return all(rewards == group[0] for rewards in group)
