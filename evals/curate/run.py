"""A run: which arms on which conversations, by which model and judge. Inspect runs, retries, caches and resumes it."""

import gc
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval_set
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog
from inspect_ai.model import GenerateConfig

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate.inspect_model import model_under_test
from mirror_graph.evals.curate.models import inspect_model
from mirror_graph.evals.curate.results import GRADER
from mirror_graph.evals.curate.scorers import Form
from mirror_graph.evals.curate.solvers import Setup
from mirror_graph.evals.curate.task import content_of, curate

RETRIES = 6
"""How often a call is made again that was not answered: over three minutes with Inspect's pauses, not for ever."""


@dataclass(frozen=True)
class Plan:
    """What to run. `cases` takes that many of the inputs, `samples` those ids only (`own-en-01/risky`)."""

    model: str
    judge: str | None = None
    self_judged: bool = False
    arms: tuple[str, ...] = ("bare", "directive", "window", "paper", "full")
    scenarios: tuple[int, ...] = (1, 4)
    distractors: tuple[int, ...] = (3,)
    controls: tuple[str, ...] = ("risky", "unrelated")
    inputs: str | None = None
    cases: int | None = None
    samples: tuple[str, ...] = ()
    epochs: int = 1
    seed: int = 0
    form: Form = "questions"
    logprobs: bool = True
    paired: bool = False
    connections: int = 10
    setup: Setup = field(default_factory=Setup)

    @property
    def judge_name(self) -> str:
        """The judge's model. Raises `ConfigurationError` where it is the model under test and nobody insisted."""
        judge = self.judge or (self.model if self.self_judged else None)
        if judge is None:
            raise ConfigurationError(
                "no judge: name one with --judge, do without one with --form none, "
                "or insist on the model itself with --self-judged"
            )
        if judge == self.model and not self.self_judged:
            raise ConfigurationError(f"the judge {judge!r} is the model under test: insist with --self-judged")
        return judge

    def tasks(self) -> list[Task]:
        """Return one task for each arm and conversation."""
        content = content_of(self.inputs)
        return [
            curate(
                arm=arm,
                scenario=scenario,
                distractors=distractors,
                controls=",".join(self.controls),
                inputs=self.inputs,
                form=self.form,
                logprobs=self.logprobs,
                seed=self.seed,
                cases=self.cases,
                cached=True,
                paired=self.paired,
                content=content,
                **self.setup.changes(),
            )
            for scenario in self.scenarios
            for distractors in self.distractors
            for arm in self.arms
        ]


def run(plan: Plan, folder: Path, *, display: str | None = None) -> tuple[bool, list[EvalLog]]:
    """Run a plan, or what is left of it: what the logs in `folder` hold is not run again.

    Returns whether all is done, and the logs. A sample whose arm fails is tried once more, then counted as
    failed; it never stops the others.

    Raises `ConfigurationError` for a plan that Inspect will not take, such as samples that do not exist.
    """
    config = patient(plan.connections)
    judges = {} if plan.form == "none" else {GRADER: inspect_model(plan.judge_name, config)}
    model_under_test.cache_clear()  # what one endpoint can do says nothing of the next
    tasks = plan.tasks()
    known = {str(sample.id) for task in tasks for sample in task.dataset}
    if unknown := [name for name in plan.samples if name not in known]:
        raise ConfigurationError(f"no sample {unknown[0]!r}: expected CASE/CONTROL, such as {min(known)}")
    # A local engine keeps the prompts of as many conversations as it answers at once; any other is read again.
    local = plan.model.startswith("local:")
    return evaluate(
        tasks,
        folder,
        folder / "cache",
        model=inspect_model(plan.model, config),
        model_roles=judges,
        epochs=plan.epochs,
        sample_id=list(plan.samples) or None,
        max_tasks=1 if local or plan.connections <= 2 else len(tasks),
        max_samples=plan.connections * (1 if local else 2),  # while one is scored or written, another's call is out
        display=display or ("rich" if sys.stdout.isatty() else "plain"),
    )


def patient(connections: int) -> GenerateConfig:
    """Return how every model of a run is called: so many calls at a time, each made again where it is not answered."""
    return GenerateConfig(max_connections=connections, max_retries=RETRIES)


def evaluate(tasks: list[Task], logs: Path, cache: Path, **settings: Any) -> tuple[bool, list[EvalLog]]:
    """Let Inspect run tasks, or what the logs do not hold of them; return whether all is done, and the logs.

    Raises `ConfigurationError` for what Inspect will not take.
    """
    logs.mkdir(parents=True, exist_ok=True)
    os.environ["INSPECT_CACHE_DIR"] = str(cache)
    gc.freeze()  # what is loaded by now stays: looking through it again and again is a tenth of the work
    try:
        done, ended = eval_set(
            tasks,
            log_dir=str(logs),
            retry_attempts=2,
            retry_on_error=1,
            fail_on_error=False,
            log_buffer=1,
            log_realtime=False,  # what is under way is kept in a database of events: a quarter of the harness's time
            acp_server=False,
            log_dir_allow_dirty=True,
            log_level="warning",
            log_level_transcript="warning",
            **settings,
        )
    except PrerequisiteError as error:
        raise ConfigurationError(f"Inspect does not run this: {error.message}") from error
    finally:
        gc.unfreeze()
    return done, list(ended)
