"""The tasks, for `mirror eval saferec` and for `inspect eval evals/saferec/task.py@saferec -T arm=guard`."""

import random
from collections.abc import Sequence
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import CachePolicy, ChatMessageUser, GenerateConfig

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.saferec.dataset import OWN, Case, load_dataset
from mirror_graph.evals.saferec.model_arms import MOST_DISTRACTORS, with_distractors
from mirror_graph.evals.saferec.scorers import figures
from mirror_graph.evals.saferec.solvers import recommend


@task
def saferec(
    arm: str = "guard",
    inputs: str | None = None,
    split: str | None = None,
    forms: str = "",
    limit: int | None = None,
    k: str | int = "5,10",
    seed: int = 0,
    distractors: int = 0,
    thinking: bool = False,
    candidates: int | None = None,
) -> Task:
    """One arm on every case of a set.

    `inputs` is the folder of a set; without it, it is our own. `forms` are some forms of cases, with commas between
    them. `limit` takes that many cases, by turns from every form, and `seed` draws them. `k` are numbers of places.
    `distractors` messages stand between what was said and the request. With `thinking` the conversation is thought
    about first. `candidates` takes that many of each case's candidates, for models that read slowly.
    A call that several arms make alike is made once.
    """
    places = [int(number) for number in str(k).split(",")]
    chosen = choose(load_dataset(inputs or OWN, split).cases, [form for form in forms.split(",") if form], limit, seed)
    if not 0 <= distractors <= MOST_DISTRACTORS:
        raise ConfigurationError(f"distractors is {distractors}: expected 0 to {MOST_DISTRACTORS}")
    samples = [write_sample(with_distractors(case, distractors, seed), seed, candidates) for case in chosen]
    cache = CachePolicy(expiry=None, scopes={"seed": str(seed)})
    return Task(
        dataset=MemoryDataset(samples, name="saferec"),
        solver=recommend(arm, max(places), inputs, thinking),
        scorer=figures(places, inputs),
        config=GenerateConfig(temperature=0.0, cache=cache),
        name=f"saferec-{arm}",
        metadata={"arm": arm, "split": split, "seed": seed, "distractors": distractors, "thinking": thinking},
    )


def write_sample(case: Case, seed: int, count: int | None = None) -> Sample:
    """Make a sample: what the user says as input, and the case and its candidates, in an order of its own, as metadata.

    The order depends on `seed` and the case, and is the same for all arms. `count` takes the first of the candidates.
    """
    candidates = list(case["candidates"])
    random.Random(f"{seed}:{case['id']}").shuffle(candidates)
    metadata: dict[str, Any] = {"case": dict(case), "candidates": candidates[:count]}
    return Sample(
        id=case["id"],
        input=[ChatMessageUser(content=text) for text in [*case["turns"], case["request"]]],
        target=[title for title, _ in case["relevant"]],
        metadata=metadata,
    )


def choose(cases: Sequence[Case], forms: Sequence[str], limit: int | None, seed: int) -> list[Case]:
    """Return the cases of some forms, or `limit` of them, drawn by turns from every form."""
    known = {case["form"] for case in cases}
    unknown = [form for form in forms if form not in known]
    if unknown:
        raise ConfigurationError(f"no case of form {unknown[0]!r}: expected one of {', '.join(sorted(known))}")
    those = [case for case in cases if not forms or case["form"] in forms]
    if limit is None or limit >= len(those):
        return those
    shuffled = random.Random(seed).sample(range(len(those)), len(those))
    turns: dict[str, int] = {}
    drawn: list[tuple[int, int]] = []
    for number in shuffled:
        form = those[number]["form"]
        turns[form] = turns.get(form, -1) + 1
        drawn.append((turns[form], number))
    chosen = {number for _, number in sorted(drawn)[:limit]}
    return [case for number, case in enumerate(those) if number in chosen]
