"""The three rewards of Safe-GDPO: the benchmark's own figures of one list.

`relevance` is the recall of distinct hits, on a list without a violation only. With equal weights a violating hit would
otherwise be worth more than a safe miss. `safety` is minus sdcg. `length` is 1 for exactly k distinct items, else minus
the share by which their number is off, so that a model does not learn to be safe by recommending less.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from mirror_graph.evals.saferec.metrics import measure
from mirror_graph.evals.saferec.titles import key, parse
from mirror_graph.training.advantages import is_flat
from mirror_graph.training.errors import TrainingError
from mirror_graph.training.rows import CatalogueRow, Message, NamedItem

REWARDS = ("relevance", "safety", "length")
"""The rewards, in the order of their weights."""


class Scores(NamedTuple):
    """The rewards of one list."""

    relevance: float
    safety: float
    length: float


class Step(NamedTuple):
    """The mean rewards of one generated batch, and how many of its groups gave no advantage."""

    relevance: float
    safety: float
    length: float
    groups: int
    flat_groups: int


class Scorer:
    """Scores lists against a catalogue, quickly: only the items whose titles occur are looked at."""

    def __init__(self, catalogue: Sequence[CatalogueRow]) -> None:
        self._by_key: defaultdict[str, list[CatalogueRow]] = defaultdict(list)
        for row in catalogue:
            self._by_key[key(row["title"])].append(row)

    def measure(
        self,
        text: str,
        *,
        constraints: Sequence[str],
        relevant: Sequence[NamedItem],
        seen: Sequence[NamedItem],
        k: int,
    ) -> dict[str, float]:
        """Measure a model's text with `metrics.measure`; `distinct` is how many different items it names in all."""
        items = parse(text)
        truth = [(item["title"], item["year"]) for item in relevant]
        known = [(item["title"], item["year"]) for item in seen]
        named = dict.fromkeys(key(title) for title, _ in (*items, *truth, *known))
        catalogue = [row for title in named for row in self._by_key.get(title, ())]
        # A constraint that none of these items violates changes no figure, and `measure` may not know it.
        violated = {constraint for row in catalogue for constraint in row["unsafe"]}
        held = [constraint for constraint in constraints if constraint in violated]
        figures = measure(items, relevant=truth, seen=known, constraints=held, catalogue=catalogue, k=k)
        places = max(len(items), 1)
        whole = measure(items, relevant=truth, seen=known, constraints=held, catalogue=catalogue, k=places)
        return {**figures, "distinct": round(whole["fill"] * places)}

    def score(
        self,
        text: str,
        *,
        constraints: Sequence[str],
        relevant: Sequence[NamedItem],
        seen: Sequence[NamedItem],
        k: int,
    ) -> Scores:
        """Return the three rewards of a model's text."""
        figures = self.measure(text, constraints=constraints, relevant=relevant, seen=seen, k=k)
        off = abs(figures["distinct"] - k)
        return Scores(
            relevance=0.0 if figures["unsafe_list"] else figures["recall"],
            safety=-figures["sdcg"],
            length=1.0 if off == 0 else -off / k,
        )


class RecordedRewards:
    """The rewards as functions that TRL can call, and a record of what they returned."""

    def __init__(self, catalogue: Sequence[CatalogueRow], num_generations: int) -> None:
        self._scorer = Scorer(catalogue)
        self._num_generations = num_generations
        self._batches: dict[str, list[list[float]]] = {name: [] for name in REWARDS}

    @property
    def functions(self) -> list[Callable[..., list[float]]]:
        """The functions, in the order of `REWARDS`."""
        return [self.relevance, self.safety, self.length]

    def relevance(self, completions: Sequence[Sequence[Message]], **columns: Any) -> list[float]:
        """Return the recall of each completion, or 0 if it violates."""
        return self._record("relevance", completions, columns)

    def safety(self, completions: Sequence[Sequence[Message]], **columns: Any) -> list[float]:
        """Return minus the sdcg of each completion."""
        return self._record("safety", completions, columns)

    def length(self, completions: Sequence[Sequence[Message]], **columns: Any) -> list[float]:
        """Return 1 for each completion of exactly k distinct items, else minus the share by which it is off."""
        return self._record("length", completions, columns)

    def steps(self) -> list[Step]:
        """Return the means of every batch so far, on this process."""
        return [self._step(*batches) for batches in zip(*self._batches.values(), strict=True)]

    def _record(self, name: str, completions: Sequence[Sequence[Message]], columns: Mapping[str, Any]) -> list[float]:
        scores = [getattr(score, name) for score in score_batch(self._scorer, completions, columns)]
        self._batches[name].append(scores)
        return scores

    def _step(self, relevance: list[float], safety: list[float], length: list[float]) -> Step:
        size = self._num_generations
        rewards = list(zip(relevance, safety, length, strict=True))
        groups = [rewards[start : start + size] for start in range(0, len(rewards), size)]
        return Step(fmean(relevance), fmean(safety), fmean(length), len(groups), sum(map(is_flat, groups)))


def score_batch(scorer: Scorer, completions: Sequence[Sequence[Message]], columns: Mapping[str, Any]) -> list[Scores]:
    """Score a batch of chat completions against the columns of their rows, which must be as many."""
    needed = ("constraints", "relevant", "seen", "k")
    for column in needed:
        if column not in columns:
            raise TrainingError(f"no column {column!r}: expected rows with {', '.join(needed)}")
        if len(columns[column]) != len(completions):
            raise TrainingError(
                f"{len(columns[column])} values of {column!r} for {len(completions)} completions: expected one each"
            )
    return [
        scorer.score(
            completion[-1]["content"],
            constraints=columns["constraints"][place],
            relevant=columns["relevant"][place],
            seen=columns["seen"][place],
            k=columns["k"][place],
        )
        for place, completion in enumerate(completions)
    ]
