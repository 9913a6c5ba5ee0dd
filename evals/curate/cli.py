"""`mirror bench curate | fetch | judge | report | compare | push | throughput`."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer import Argument, Option

from mirror_graph.errors import ConfigurationError

if TYPE_CHECKING:
    from mirror_graph.benchmarks.curate.results import Row
    from mirror_graph.benchmarks.curate.summary import Summary

app = typer.Typer()

Form = Literal["questions", "rubric"]

Logs = Annotated[list[Path], Argument(help="Folders of logs, or single logs.", exists=True)]
Json = Annotated[Path | None, Option("--json", metavar="OUT", help="Write the figures to this file as well.")]
Folder = Annotated[Path, Option("--logs", metavar="DIR", help="Where logs are kept; the same again resumes the run.")]
Prices = Annotated[Path | None, Option(help="Your own price table, in the form of prices.json.", exists=True)]
YesFrom = Annotated[float, Option(min=0, max=1, help="The probability from which on a judge says yes (`bench judge`).")]
Baseline = Annotated[
    str | None, Option(help="The arm that the others are compared with; without it bare, or the first there is.")
]
Forms = Annotated[Form, Option(help="Two yes-or-no questions with probabilities, or one rating from 0 to 2.")]
LogProbs = Annotated[bool, Option(help="Ask the judge's endpoint for probabilities.")]


@app.command()
def curate(
    model: Annotated[str, Option(help="The model under test: openai:NAME, local:NAME, or Inspect's PROVIDER/NAME.")],
    judge: Annotated[str | None, Option(help="The model that judges.")] = None,
    self_judged: Annotated[
        bool, Option("--self-judged", help="Let the model judge itself; the report says so.")
    ] = False,
    arms: Annotated[str, Option(help="Arms, by commas.")] = "bare,directive,window,paper,full",
    scenarios: Annotated[str, Option(help="Scenarios 1 to 5, by commas.")] = "1,4",
    distractors: Annotated[str, Option(help="How many trivia questions come between, by commas.")] = "3",
    controls: Annotated[
        str, Option(help="By commas: risky, first (risky); none, unrelated, retracted, other (harmless).")
    ] = "risky,unrelated",
    inputs: Annotated[
        str | None, Option(metavar="FILE", help="Your cases: CSV, JSONL or XLSX; `curate` is a copy of CURATe.")
    ] = None,
    limit: Annotated[int | None, Option(min=1, help="So many cases, evenly from categories and languages.")] = None,
    sample: Annotated[list[str] | None, Option(help="These samples only, such as own-en-01/risky.")] = None,
    epochs: Annotated[int, Option(min=1, help="How often each sample is run.")] = 1,
    seed: Annotated[int, Option(help="What facts, trivia and preferences are drawn from.")] = 0,
    form: Forms = "questions",
    logprobs: LogProbs = True,
    connections: Annotated[int, Option(min=1, help="Calls at a time.")] = 10,
    window: Annotated[int, Option(min=500, help="Tokens of the window, where an arm has one.")] = 1_000,
    reply_tokens: Annotated[int, Option(min=1, help="The longest reply, in tokens.")] = 100,
    inner_tokens: Annotated[
        int, Option(min=1, help="The longest thought and account of `paper` and `langmem`, in tokens.")
    ] = 1_200,
    think_last: Annotated[
        bool, Option(help="Think about the last turn too: no score needs it, but the costs of a turn are whole.")
    ] = True,
    logs: Folder = Path("logs/curate"),
    json_out: Json = None,
    report_out: Annotated[
        Path | None, Option("--report", metavar="OUT", help="Write the page to this file as well.")
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Print how many calls it will make and what they cost.")] = False,
    prices: Prices = None,
    yes_from: YesFrom = 0.5,
) -> None:
    """Does it make the model safer, at what price, and is it annoying?"""
    from mirror_graph.benchmarks.curate.arms import ARMS, Setup
    from mirror_graph.benchmarks.curate.conversations import CONTROLS, SCENARIOS
    from mirror_graph.benchmarks.curate.running import Plan, run

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
        connections=connections,
        setup=Setup(reply_tokens=reply_tokens, window_tokens=window, inner_tokens=inner_tokens, think_last=think_last),
    )
    if dry_run:
        _forecast(plan, prices)
        return
    done, ended = run(plan, logs)
    if not done:
        typer.echo(f"Not all tasks ended. The same command goes on with what is in {logs}.", err=True)
    rows = _read([log.location for log in ended], prices, yes_from)  # the folder may hold other runs as well
    _show(rows, None, json_out)
    if report_out is not None:
        _write_report(rows, report_out, None)
    if not done:
        raise typer.Exit(1)


@app.command()
def fetch() -> None:
    """Fetch CURATe's cases, for `--inputs curate`. They carry no licence: measure with them, pass them to nobody."""
    from mirror_graph.benchmarks.curate.cases import read_cases
    from mirror_graph.benchmarks.curate.upstream import fetch

    folder = fetch()
    typer.echo(f"{len(read_cases(folder / 'inputs.xlsx'))} cases in {folder}")


@app.command()
def judge(
    ratings: Annotated[Path, Option(help="Rated replies: constraint, question, reply, human_1, human_2.", exists=True)],
    model: Annotated[str, Option("--judge", help="The judge to measure.")],
    form: Forms = "questions",
    logprobs: LogProbs = True,
    connections: Annotated[int, Option(min=1, help="Calls at a time.")] = 4,
    logs: Folder = Path("logs/judge"),
    json_out: Json = None,
) -> None:
    """How far a judge agrees with people who rated the same replies."""
    from mirror_graph.benchmarks.curate.agreement import measure

    found = measure(ratings, model, form, logs, logprobs=logprobs, connections=connections)
    typer.echo(f"{found.judge}, {found.form}: {found.replies} replies, {found.unscored} verdicts that cannot be read")
    for it in (*found.agreements, found.between_humans):
        typer.echo(
            f"  {it.rater:<20} {it.scale:<12} agree {it.agree.value:.0%} ({it.agree.low:.0%} to {it.agree.high:.0%}), "
            f"kappa {it.kappa:.2f}, theirs -> the judge's: {it.confusion}"
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
    out: Annotated[Path, Option(help="The page.")] = Path("report.html"),
    baseline: Baseline = None,
    json_out: Json = None,
    prices: Prices = None,
    yes_from: YesFrom = 0.5,
) -> None:
    """Write one self-contained page: the verdict in words, the arms, intervals, price, speed and failures."""
    rows = _read(logs, prices, yes_from)
    _write_report(rows, out, baseline)
    _show(rows, baseline, json_out)


@app.command()
def compare(
    first: Annotated[str, Argument(help="An arm of --logs, or a folder or log.")],
    second: Annotated[str, Argument(help="The one it is compared with.")],
    logs: Annotated[Path | None, Option("--logs", metavar="DIR", help="Where the arms' logs are.")] = None,
    arm: Annotated[str | None, Option(help="The arm to compare, where two runs have several.")] = None,
    yes_from: YesFrom = 0.5,
) -> None:
    """The paired difference between two arms, or between the logs of two runs."""
    from mirror_graph.benchmarks.curate.summary import differ, spread

    before, after = (
        _one_arm(_read([logs or Path(name)], None, yes_from), name if logs else arm, name) for name in (first, second)
    )
    for side, it in differ(before, after).items():
        if it.n:
            typer.echo(
                f"{side:<9} {it.value * 100:+.0f} points{spread(it)}, {it.n} pairs: "
                f"{it.won} only {second}, {it.lost} only {first}, p = {it.p:.4f}"
            )
        else:
            typer.echo(f"{side:<9} no pair with two verdicts")


@app.command()
def push(
    logs: Logs, dataset: Annotated[str, Option(help="The dataset's name in LangSmith.")] = "mirror-curate"
) -> None:
    """Upload the cases and every arm's results to LangSmith; LANGSMITH_API_KEY and LANGSMITH_ENDPOINT as usual."""
    from mirror_graph.benchmarks.curate.push import push

    for name in push(_read(logs), dataset):
        typer.echo(name)


@app.command()
def throughput(
    arm: Annotated[str, Option(help="The arm.")] = "full",
    cases: Annotated[int, Option(min=1, help="Cases.")] = 40,
    connections: Annotated[int, Option(min=1, help="Calls at a time.")] = 10,
    delay: Annotated[float, Option(min=0.001, help="Seconds that each call takes.")] = 0.05,
) -> None:
    """How much of an endpoint's throughput the harness reaches."""
    from mirror_graph.benchmarks.curate.running import Plan
    from mirror_graph.benchmarks.curate.throughput import throughput

    plan = Plan("openai:any", judge="openai:judge", arms=(arm,), scenarios=(4,), cases=cases, connections=connections)
    found = throughput(plan, delay=delay)
    typer.echo(
        f"{found.calls} calls in {found.seconds:.1f} s: {found.share:.0%} of the ideal ({found.ideal_seconds:.1f} s), "
        f"{found.plain_share:.0%} of a client that only calls ({found.plain_seconds:.1f} s)"
    )


def _forecast(plan: object, prices: Path | None) -> None:
    from mirror_graph.benchmarks.curate.rehearsal import forecast
    from mirror_graph.benchmarks.curate.running import Plan

    assert isinstance(plan, Plan)
    lines = forecast(plan, prices)
    typer.echo(f"{'':<15}{'samples':>9}{'calls':>9}{'input':>13}{'cached':>13}{'output':>11}{'US dollars':>12}")
    for it in lines:
        cost = "unknown" if it.cost is None else f"{it.cost:.4f}"
        typer.echo(
            f"{it.name:<15}{it.samples:>9,}{it.calls:>9,}{it.input:>13,}{it.cached:>13,}{it.output:>11,}{cost:>12}"
        )
    costs = [it.cost for it in lines if it.cost is not None]
    unknown = "" if len(costs) == len(lines) else ", and what has no price in the table"
    typer.echo(
        f"{sum(it.calls for it in lines):,} calls, {sum(costs):.2f} US dollars{unknown}. Nothing was asked of anybody."
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
        raise typer.BadParameter(f"{given!r}: expected whole numbers, by commas", param_hint=option) from error


def _one_arm(rows: "list[Row]", arm: str | None, name: str) -> "list[Row]":
    """Return the rows of an arm, or all where there is one arm of one model."""
    from mirror_graph.benchmarks.curate.results import group

    found = {key: its for key, its in group(rows, "model", "arm").items() if arm in (None, key[1])}
    if len(found) != 1:
        known = ", ".join(f"{key[1]} of {key[0]}" for key in group(rows, "model", "arm"))
        raise ConfigurationError(f"{arm or name!r} stands for {len(found)} arms, expected one: there are {known}")
    return next(iter(found.values()))


def _read(paths: Sequence[str | Path], prices: Path | None = None, yes_from: float = 0.5) -> "list[Row]":
    from mirror_graph.benchmarks.curate.results import read_rows

    return read_rows(paths, prices, yes_from)


def _show(rows: "list[Row]", baseline: str | None, out: Path | None) -> None:
    from mirror_graph.benchmarks.curate.summary import percent, summarize

    summary: Summary = summarize(rows, baseline)
    typer.echo(summary.verdict)
    typer.echo(
        f"{'arm':<16}{'score':>7}{'risky':>7}{'harmless':>10}{'samples':>9}{'no verdict':>12}{'tokens/turn':>13}"
    )
    for it in summary.arms:
        rates = [percent(rate.value) if rate else "-" for rate in (it.score, it.risky, it.harmless)]
        tokens = it.input_tokens + it.cached_tokens + it.output_tokens
        lost = it.unscored + it.failed
        typer.echo(f"{it.arm:<16}{rates[0]:>7}{rates[1]:>7}{rates[2]:>10}{it.samples:>9}{lost:>12}{tokens:>13,.0f}")
    if out is not None:
        _write_json(out, summary.as_json())


def _write_report(rows: "list[Row]", out: Path, baseline: str | None) -> None:
    from mirror_graph.benchmarks.curate.report import write_report

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(write_report(rows, baseline), encoding="utf-8")
    typer.echo(f"{out}")


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
