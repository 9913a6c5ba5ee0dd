"""How far a judge agrees with people who rated the same replies."""

from collections import Counter
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import read_eval_log
from inspect_ai.model import CachePolicy, GenerateConfig, ModelOutput
from inspect_ai.solver import Generate, Solver, TaskState, solver

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate.dataset import read_table
from mirror_graph.evals.curate.models import inspect_model
from mirror_graph.evals.curate.results import GRADER
from mirror_graph.evals.curate.run import evaluate, patient
from mirror_graph.evals.curate.scorers import PASS, Form, judge
from mirror_graph.evals.curate.statistics import Estimate, calibrate, kappa, pass_rate

COLUMNS = ("constraint", "question", "reply", "human_1", "human_2")
RATERS = ("human_1", "human_2", "judge_405b")


@dataclass(frozen=True)
class Agreement:
    """A judge compared with one rater: on the three ratings if the judge gives them, else on pass or fail."""

    rater: str
    scale: str
    agree: Estimate
    kappa: float
    confusion: dict[str, int]
    """`"rater's rating -> judge's rating"`: how often."""


@dataclass(frozen=True)
class Calibrated:
    """What the first question's probability is worth against the first rater, alone and with its own threshold.

    `agree` and the kappa beside it are held out: no reply has a part in the threshold that judges it.
    """

    yes_from: float
    auc: float
    agree: Estimate
    kappa: float


@dataclass(frozen=True)
class Report:
    """What a judge is worth: its agreement with each rater, and the verdicts that could not be read."""

    judge: str
    form: Form
    replies: int
    unscored: int
    agreements: list[Agreement]
    between_humans: Agreement
    calibrated: Calibrated | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@task
def ratings(
    path: str, form: Form = "questions", logprobs: bool = True, cached: bool = False, content: str = ""
) -> Task:
    """Judge replies that people have rated: `inspect eval evals/curate/agreement.py -T path=RATINGS.csv`.

    `content` is a hash of the file, so that ratings that were changed are judged again.
    """
    config = GenerateConfig(cache=CachePolicy(expiry=None) if cached else False)
    return Task(
        dataset=MemoryDataset(_samples(path)),
        solver=replay(),
        scorer=judge(form, logprobs),
        config=config,
        name=f"ratings-{form}",
    )


@solver
def replay() -> Solver:
    """Take the rated reply as the model's."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.output = ModelOutput.from_content("rated", state.metadata["reply"])
        return state

    return solve


def measure(path: Path, model: str, form: Form, folder: Path, *, logprobs: bool = True, connections: int = 4) -> Report:
    """Let `model` judge every rated reply, and compare.

    Raises `ConfigurationError` for ratings that cannot be read, and where the judge did not get through them: the
    same call then goes on.
    """
    content = sha256(path.read_bytes()).hexdigest()[:12]
    done, [log] = evaluate(
        [ratings(str(path), form, logprobs, cached=True, content=content)],
        folder / form,
        folder / "cache",
        model="none/none",
        model_roles={GRADER: inspect_model(model, patient(connections))},
        max_samples=connections,
        display="plain",
    )
    samples = read_eval_log(log.location).samples or []
    if errors := [sample.error for sample in samples if sample.error is not None]:
        raise ConfigurationError(f"{model!r} judged not every reply: {errors[0].message}")
    if not done:
        raise ConfigurationError(f"{model!r} judged not every reply: the same command goes on with what is in {folder}")
    judged = []
    for sample in samples:
        score = (sample.scores or {})["judge"]
        passed = None if score.as_float() != score.as_float() else int(score.as_float()) * PASS
        rating = (score.metadata or {}).get("rating", passed) if passed is not None else None
        against = (score.metadata or {}).get("against")
        judged.append({**sample.metadata, "judge": rating, "against": against})
    read = [row for row in judged if row["judge"] is not None]
    exact = form == "rubric"
    return Report(
        judge=model,
        form=form,
        replies=len(judged),
        unscored=len(judged) - len(read),
        agreements=[
            compare(rater, [int(row[rater]) for row in read], [row["judge"] for row in read], exact=by_three)
            for rater in RATERS
            if read and rater in read[0]
            for by_three in ([True, False] if exact else [False])
        ],
        between_humans=compare(
            "human_1 and human_2",
            [int(row["human_1"]) for row in judged],
            [int(row["human_2"]) for row in judged],
            exact=exact,
        ),
        calibrated=calibrated(judged),
    )


def calibrated(rows: list[dict[str, Any]]) -> Calibrated | None:
    """Find the threshold for a judge's probabilities, where there are any."""
    known = [row for row in rows if row["against"] is not None]
    truths = [int(row["human_1"]) == PASS for row in known]
    if len(set(truths)) < 2:
        return None
    found = calibrate([row["against"] for row in known], truths)
    agree = pass_rate(found.held_out)
    assert agree is not None
    guesses = [truth == right for truth, right in zip(truths, found.held_out, strict=True)]
    return Calibrated(found.yes_from, found.auc, agree, kappa(truths, guesses))


def compare(rater: str, theirs: list[int], ours: list[int], *, exact: bool) -> Agreement:
    """Compare two lists of ratings, as they are or as passed and not passed."""
    if not exact:
        theirs, ours = ([PASS if rating == PASS else 0 for rating in side] for side in (theirs, ours))
    pairs = Counter(zip(theirs, ours, strict=True))
    agree = pass_rate([one == other for one, other in zip(theirs, ours, strict=True)])
    assert agree is not None
    confusion = {f"{one} -> {other}": count for (one, other), count in sorted(pairs.items())}
    return Agreement(rater, "0/1/2" if exact else "pass or not", agree, kappa(theirs, ours), confusion)


def _samples(path: str) -> list[Sample]:
    rows = read_table(Path(path))
    if not rows or (missing := [column for column in COLUMNS if column not in rows[0]]):
        raise ConfigurationError(
            f"no ratings in {path!r}: expected the columns {', '.join(COLUMNS)}; missing {missing if rows else 'all'}"
        )
    for number, row in enumerate(rows, 1):
        for rater in RATERS:
            if rater in row and str(row[rater]).strip() not in {"0", "1", "2"}:
                raise ConfigurationError(f"{path!r}, reply {number}: {rater} is {row[rater]!r}, expected 0, 1 or 2")
    return [
        Sample(
            id=str(row.get("row") or number),
            input=row["question"],
            metadata={**row, "request": row["question"], "control": "risky"},
        )
        for number, row in enumerate(rows)
    ]
