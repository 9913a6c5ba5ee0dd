"""`mirror eval saferec`: run arms over a set, with a model or without one, and write the report."""

import json
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from mirror_graph.output_file import check_output

app = typer.Typer()

SHOWN = ("caught_described", "caught_recorded", "lost", "undecided", "svr@5", "fill@5", "ndcg@10")


@app.command()
def saferec(
    inputs: Annotated[
        Path | None, Option(help="A folder with films.jsonl and cases.jsonl.", show_default="our own set")
    ] = None,
    upstream: Annotated[
        Path | None, Option(help="A folder with the published data, whose lists are measured instead.")
    ] = None,
    released: Annotated[bool, Option(help="With --upstream: use the formulas of the published code.")] = False,
    split: Annotated[str | None, Option(help="Measure one split of the set only, such as test.")] = None,
    form: Annotated[list[str] | None, Option(help="Measure cases of this form only. May be repeated.")] = None,
    arm: Annotated[
        list[str] | None, Option(help="An arm. May be repeated.", show_default="all, or those without a model")
    ] = None,
    model: Annotated[
        str | None, Option(help="The model that answers, such as openai:NAME, or the folder of a trained one.")
    ] = None,
    distractors: Annotated[
        int, Option(help="How many harmless messages stand between the constraint and the request.")
    ] = 0,
    thinking: Annotated[bool, Option(help="Think about the conversation before the request.")] = False,
    limit: Annotated[
        int | None, Option(min=1, help="Measure a sample of this many cases, by turns from every form.")
    ] = None,
    candidates: Annotated[
        int | None, Option(min=1, help="Offer so many candidates per case, for a model that reads slowly.")
    ] = None,
    seed: Annotated[int, Option(help="Seed for every random choice.")] = 0,
    k: Annotated[list[int] | None, Option(help="The length of a list. May be repeated.", show_default="5, 10")] = None,
    logs: Annotated[
        Path | None,
        Option(metavar="DIR", help="Keep Inspect's logs and the calls here; the same again resumes the run."),
    ] = None,
    json_out: Annotated[
        Path | None,
        Option("--json", metavar="OUT", help="Write the figures to this file too.", callback=check_output),
    ] = None,
    report_out: Annotated[
        Path | None,
        Option("--report", metavar="OUT", help="Write a report in Markdown to this file.", callback=check_output),
    ] = None,
) -> None:
    """Measure whether recommendations respect what a user cannot bear. Without `--model`, none is called."""
    if upstream is not None:
        from mirror_graph.evals.saferec.upstream import measure_upstream

        _publish(measure_upstream(upstream, k or (5, 10), released=released), json_out)
        return
    from mirror_graph.evals.saferec.arms import ARMS
    from mirror_graph.evals.saferec.dataset import OWN
    from mirror_graph.evals.saferec.model_arms import MODEL_ARMS
    from mirror_graph.evals.saferec.page import page
    from mirror_graph.evals.saferec.scoring import run

    name = _model_of(model)
    report = run(
        inputs or OWN,
        arm or (tuple(ARMS) if name is None else (*ARMS, *MODEL_ARMS)),
        k or (5, 10),
        split=split,
        forms=form or (),
        seed=seed,
        model=name,
        distractors=distractors,
        thinking=thinking,
        limit=limit,
        candidates=candidates,
        logs=logs,
    )
    if json_out is not None:
        json_out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if report_out is not None:
        report_out.write_text(page(report), encoding="utf-8")
    typer.echo("\n".join(_table(report)))


def _publish(figures: dict[str, Any], json_out: Path | None) -> None:
    text = json.dumps(figures, indent=1)
    if json_out is not None:
        json_out.write_text(f"{text}\n", encoding="utf-8")
    typer.echo(text)


def _model_of(given: str | None) -> str | None:
    """Return the name of a model. A folder is that of a trained one, which is then loaded."""
    if given is None or not Path(given).is_dir():
        return given
    load = import_module("mirror_graph.training.chat").register_trained  # only there is torch imported
    return str(load(Path(given)))


def _table(report: dict[str, Any]) -> list[str]:
    shown = [name for name in SHOWN if all(name in one for forms in report["arms"].values() for one in forms.values())]
    lines = [f"{report['cases']} cases, {report['items']} items. {report['caveat']}"]
    lines.append("".join([f"{'arm':<17}{'form':<13}{'n':>4}", *(f"{name:>17}" for name in shown)]))
    for arm, forms in report["arms"].items():
        for form, figures in forms.items():
            values = ("-" if figures[name] is None else f"{figures[name]:.3f}" for name in shown)
            lines.append(
                "".join([f"{arm:<17}{form:<13}{figures['samples']:>4}", *(f"{value:>17}" for value in values)])
            )
    return lines
