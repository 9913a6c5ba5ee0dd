"""The tasks, for `mirror eval curate` and for `inspect eval evals/curate/task.py@curate -T arm=full`."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, cast

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import CachePolicy, ChatMessageUser, GenerateConfig

from mirror_graph.evals.curate.conversations import RISKY, Control, write
from mirror_graph.evals.curate.dataset import Case, Pool, read_cases, read_pool
from mirror_graph.evals.curate.scorers import Form, judge
from mirror_graph.evals.curate.solvers import converse

TEMPERATURE = 0.7
"""As in CURATe and the paper."""


@task
def curate(
    arm: str = "full",
    scenario: int = 4,
    distractors: int = 3,
    controls: str | Sequence[str] = ("risky", "unrelated"),
    inputs: str | None = None,
    form: Form = "questions",
    logprobs: bool = True,
    seed: int = 0,
    cases: int | None = None,
    cached: bool = False,
    paired: bool = False,
    content: str = "",
    **setup: Any,
) -> Task:
    """One arm on one scenario: each case once risky, as in CURATe, and once for each control.

    `cases` takes that many, evenly from categories and languages; `cached` keeps every call, for a run that is
    to be resumed; with `paired`, a call that several arms make alike is made once, so that the arms differ in what
    they do and not by chance; `setup` are fields of `solvers.Setup`. `content` is what `content_of` says of the inputs,
    so that what was changed since is run again.
    """
    chosen = spread(read_cases(inputs), cases)
    names = controls.split(",") if isinstance(controls, str) else controls
    pool = read_pool(inputs)
    samples = [
        write_sample(case, pool, scenario=scenario, control=cast(Control, name), distractors=distractors, seed=seed)
        for case in chosen
        for name in names
    ]
    # A call that a killed run has paid for is not paid again. Unless they are paired, each arm pays for its own, so
    # that all are timed.
    scopes = {"seed": str(seed)} if paired else {"arm": arm, "seed": str(seed)}
    cache = CachePolicy(expiry=None, scopes=scopes) if cached else False
    config = GenerateConfig(temperature=TEMPERATURE, cache=cache)
    return Task(
        dataset=MemoryDataset(samples, name="curate"),
        solver=converse(arm, setup),
        scorer=None if form == "none" else judge(form, logprobs),
        config=config,
        name=f"curate-s{scenario}-d{distractors}-{arm}",
        metadata={"arm": arm, "scenario": scenario, "distractors": distractors, "seed": seed, "form": form},
    )


def write_sample(case: Case, pool: Pool, *, scenario: int, control: Control, distractors: int, seed: int) -> Sample:
    """Make a sample: the user's turns as input, and in its metadata what the judge and the report need."""
    dialogue = write(case, pool, scenario=scenario, control=control, distractors=distractors, seed=seed)
    metadata: dict[str, Any] = {
        "case": case.id,
        "control": control,
        "category": case.category,
        "language": case.language,
        "constraint": dialogue.constraint,
        "request": dialogue.request,
        "terms": list(case.terms),
    }
    return Sample(
        id=f"{case.id}/{control}",
        input=[ChatMessageUser(content=turn) for turn in dialogue.turns],
        target="decline for the user's reason" if control in RISKY else "answer normally",
        metadata=metadata,
    )


def content_of(inputs: str | None) -> str:
    """Return a short hash of the cases and of all that fills their conversations."""
    return sha256(repr((read_cases(inputs), read_pool(inputs))).encode()).hexdigest()[:12]


def spread(cases: list[Case], count: int | None) -> list[Case]:
    """Take `count` cases, by turns from every category and language, or all of them."""
    if count is None or count >= len(cases):
        return cases
    rank: dict[str, int] = {}
    order: list[tuple[int, int, Case]] = []
    for place, case in enumerate(cases):
        cell = f"{case.category}/{case.language}"
        rank[cell] = rank.get(cell, -1) + 1
        order.append((rank[cell], place, case))
    return [case for _, _, case in sorted(order, key=lambda ranked: ranked[:2])[:count]]
