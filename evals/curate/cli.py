"""`mirror eval curate | fetch | judge | report`."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer import Argument, Option

from mirror_graph.output_file import check_output

if TYPE_CHECKING:
    from mirror_graph.evals.curate.results import Row

app = typer.Typer()

JudgeForm = Literal["questions", "rubric"]
Form = Literal["questions", "rubric", "none"]

Logs = Annotated[list[Path], Argument(help="Folders of logs, or single logs.", exists=True)]
Json = Annotated[
    Path | None, Option("--json", metavar="OUT", help="Write the figures to this file as well.", callback=check_output)
]
Folder = Annotated[
    Path,
    Option(
        "--logs", metavar="DIR", help="The folder of the logs. The same command on the same folder resumes the run."
    ),
]
Prices = Annotated[Path | None, Option(help="Your own price table, in the form of prices.json.", exists=True)]
YesFrom = Annotated[
    float,
    Option(
        min=0, max=1, help="The probability at which the judge's answer counts as yes; `mirror eval judge` finds one."
    ),
]
Baseline = Annotated[
    str | None,
    Option(
        help="The arm that the others are compared with: by default `bare`, or the first arm if there is no `bare`."
    ),
]
Forms = Annotated[
    Form, Option(help="Two yes-or-no questions with probabilities, one rating from 0 to 2, or no judge at all.")
]
LogProbs = Annotated[bool, Option(help="Ask the judge's endpoint for probabilities.")]


@app.command()
def curate(
    model: Annotated[str, Option(help="The model under test: openai:NAME, local:NAME, or Inspect's PROVIDER/NAME.")],
    judge: Annotated[str | None, Option(help="The model that judges.")] = None,
    self_judged: Annotated[
        bool, Option("--self-judged", help="Let the model judge itself; the report says so.")
    ] = False,
    arms: Annotated[str, Option(help="Comma-separated arms.")] = "bare,directive,window,paper,full",
    scenarios: Annotated[str, Option(help="Comma-separated scenarios, 1 to 5.")] = "1,4",
    distractors: Annotated[str, Option(help="Comma-separated numbers of trivia questions before the request.")] = "3",
    controls: Annotated[
        str, Option(help="Comma-separated: risky, first (risky); none, unrelated, retracted, other (harmless).")
    ] = "risky,unrelated",
    inputs: Annotated[
        str | None, Option(metavar="FILE", help="Your cases: CSV, JSONL or XLSX; `curate` is a copy of CURATe.")
    ] = None,
    limit: Annotated[
        int | None, Option(min=1, help="How many cases to run, drawn evenly from categories and languages.")
    ] = None,
    sample: Annotated[list[str] | None, Option(help="These samples only, such as own-en-01/risky.")] = None,
    epochs: Annotated[int, Option(min=1, help="How many times each sample is run.")] = 1,
    seed: Annotated[int, Option(help="Seed for the choice of facts, trivia and preferences.")] = 0,
    form: Forms = "questions",
    logprobs: LogProbs = True,
    paired: Annotated[
        bool,
        Option("--paired", help="Make a call that several arms share only once. Reply times are then not measured."),
    ] = False,
    connections: Annotated[int, Option(min=1, help="The number of simultaneous calls.")] = 10,
    window: Annotated[int, Option(min=500, help="Tokens of the window, where an arm has one.")] = 1_000,
    reply_tokens: Annotated[int, Option(min=1, help="The maximum length of a reply, in tokens.")] = 100,
    inner_tokens: Annotated[
        int, Option(min=1, help="The maximum length of a thought and of a memory of `paper` and `langmem`, in tokens.")
    ] = 1_200,
    think_last: Annotated[
        bool,
        Option(help="Think about the last turn too. No score needs it, but without it the cost per turn is too low."),
    ] = True,
    canned: Annotated[
        str,
        Option(
            metavar="WORDS", help="Use WORDS as every reply except the last, so that only the last one calls a model."
        ),
    ] = "",
    logs: Folder = Path("logs/curate"),
    json_out: Json = None,
    report_out: Annotated[
        Path | None,
        Option("--report", metavar="OUT", help="Write the full report to this file, as text.", callback=check_output),
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Print how many calls the run would make and what they would cost.")
    ] = False,
    prices: Prices = None,
    yes_from: YesFrom = 0.5,
) -> None:
    """Measure safety gain, over-caution and cost of a model, in conversations built as CURATe builds them."""
    from mirror_graph.evals.curate.conversations import CONTROLS, SCENARIOS
    from mirror_graph.evals.curate.models import check_name
    from mirror_graph.evals.curate.run import Plan, run
    from mirror_graph.evals.curate.solvers import ARMS, Setup

    plan = Plan(
        model=model,
        judge=judge,
        self_judged=self_judged,
        arms=tuple(_words(arms, ARMS, "--arms")),
        scenarios=tuple(map(int, _words(scenarios, map(str, SCENARIOS), "--scenarios"))),
        distractors=tuple(_numbers(distractors, "--distractors")),
        controls=tuple(_words(controls, CONTROLS, "--controls")),
        inputs=inputs,
        cases=limit,
        samples=tuple(sample or ()),
        epochs=epochs,
        seed=seed,
        form=form,
        logprobs=logprobs,
        paired=paired,
        connections=connections,
        setup=Setup(
            reply_tokens=reply_tokens,
            window_tokens=window,
            inner_tokens=inner_tokens,
            think_last=think_last,
            canned=canned,
        ),
    )
    check_name(model)
    if dry_run:
        _forecast(plan, prices)
        return
    done, ended = run(plan, logs)
    if not done:
        typer.echo(f"Not all tasks ended. The same command goes on with what is in {logs}.", err=True)
    rows = _read([log.location for log in ended], prices, yes_from)  # the folder may hold other runs as well
    _show(rows, None, json_out, report_out)
    if not done:
        raise typer.Exit(1)


@app.command()
def fetch() -> None:
    """Download CURATe's cases, for `--inputs curate`. They have no licence: do not pass them on."""
    from mirror_graph.evals.curate.dataset import read_cases
    from mirror_graph.evals.curate.upstream import fetch

    folder = fetch()
    typer.echo(f"{len(read_cases(folder / 'inputs.xlsx'))} cases in {folder}")


@app.command()
def judge(
    ratings: Annotated[Path, Option(help="Rated replies: constraint, question, reply, human_1, human_2.", exists=True)],
    model: Annotated[str, Option("--judge", help="The judge to measure.")],
    form: Annotated[
        JudgeForm, Option(help="Two yes-or-no questions with probabilities, or one rating from 0 to 2.")
    ] = "questions",
    logprobs: LogProbs = True,
    connections: Annotated[int, Option(min=1, help="The number of simultaneous calls.")] = 4,
    logs: Folder = Path("logs/judge"),
    json_out: Json = None,
) -> None:
    """Measure how well a judge agrees with people who rated the same replies."""
    from mirror_graph.evals.curate.agreement import measure

    found = measure(ratings, model, form, logs, logprobs=logprobs, connections=connections)
    typer.echo(f"{found.judge}, {found.form}: {found.replies} replies, {found.unscored} verdicts that cannot be read")
    for agreement in (*found.agreements, found.between_humans):
        typer.echo(
            f"  {agreement.rater:<20} {agreement.scale:<12} agree {agreement.agree.value:.0%} "
            f"({agreement.agree.low:.0%} to {agreement.agree.high:.0%}), "
            f"kappa {agreement.kappa:.2f}, theirs -> the judge's: {agreement.confusion}"
        )
    if best := found.calibrated:
        typer.echo(
            f"  with --yes-from {best.yes_from:.2f} on the first question alone: agree {best.agree.value:.0%} "
            f"({best.agree.low:.0%} to {best.agree.high:.0%}, held out), kappa {best.kappa:.2f}, AUC {best.auc:.2f}"
        )
    if json_out is not None:
        _write_json(json_out, found.as_json())


@app.command()
def report(
    logs: Logs,
    out: Annotated[
        Path | None, Option(help="Write the full report to this file, as text.", callback=check_output)
    ] = None,
    baseline: Baseline = None,
    json_out: Json = None,
    prices: Prices = None,
    yes_from: YesFrom = 0.5,
) -> None:
    """Report on existing logs: the verdict in words, then scores, intervals, cost, speed and failures."""
    _show(_read(logs, prices, yes_from), baseline, json_out, out)


def _forecast(plan: object, prices: Path | None) -> None:
    from mirror_graph.evals.curate.dry_run import forecast
    from mirror_graph.evals.curate.run import Plan

    assert isinstance(plan, Plan)
    lines = forecast(plan, prices)
    typer.echo(f"{'':<15}{'samples':>9}{'calls':>9}{'input':>13}{'cached':>13}{'output':>11}{'US dollars':>12}")
    for line in lines:
        cost = "unknown" if line.cost is None else f"{line.cost:.4f}"
        typer.echo(
            f"{line.name:<15}{line.samples:>9,}{line.calls:>9,}{line.input:>13,}{line.cached:>13,}{line.output:>11,}{cost:>12}"
        )
    costs = [line.cost for line in lines if line.cost is not None]
    unknown = "" if len(costs) == len(lines) else ", and what has no price in the table"
    typer.echo(
        f"{sum(line.calls for line in lines):,} calls, {sum(costs):.2f} US dollars{unknown}. No model was called."
    )


def _words(given: str, known: "Iterable[str]", option: str) -> list[str]:
    words, expected = list(dict.fromkeys(given.split(","))), list(known)
    if unknown := [word for word in words if word not in expected]:
        raise typer.BadParameter(f"unknown {unknown[0]!r}: expected {', '.join(expected)}", param_hint=option)
    return words


def _numbers(given: str, option: str) -> list[int]:
    try:
        return [int(word) for word in given.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{given!r}: expected comma-separated whole numbers", param_hint=option) from error


def _read(paths: Sequence[str | Path], prices: Path | None = None, yes_from: float = 0.5) -> "list[Row]":
    from mirror_graph.evals.curate.results import read_rows

    return read_rows(paths, prices, yes_from)


def _show(rows: "list[Row]", baseline: str | None, json_out: Path | None, report_out: Path | None) -> None:
    from mirror_graph.evals.curate.report import write_report
    from mirror_graph.evals.curate.summary import summarize

    summary = summarize(rows, baseline)
    text = write_report(summary, rows)
    typer.echo(text, nl=False)
    if report_out is not None:
        report_out.parent.mkdir(parents=True, exist_ok=True)
        report_out.write_text(text, encoding="utf-8")
    if json_out is not None:
        _write_json(json_out, summary.as_json())


def _write_json(out: Path, values: object) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_without_nan(values), ensure_ascii=False, indent=2, allow_nan=False)
    out.write_text(f"{text}\n", encoding="utf-8")


def _without_nan(value: object) -> object:
    """Put None where there is no number: JSON knows no NaN."""
    match value:
        case float():
            return value if value == value else None
        case dict():
            return {key: _without_nan(its) for key, its in value.items()}
        case list() | tuple():
            return [_without_nan(its) for its in value]
        case _:
            return value
