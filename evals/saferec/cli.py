"""`mirror eval saferec`: run the arms that need no model over a set, and write the report."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

app = typer.Typer()

SHOWN = ("caught_described", "caught_recorded", "lost", "undecided", "svr@5", "fill@5", "ndcg@10")


@app.command()
def saferec(
    inputs: Annotated[
        Path | None, Option(help="A folder with films.jsonl and cases.jsonl.", show_default="our own set")
    ] = None,
    split: Annotated[str | None, Option(help="Measure one split of the set only, such as test.")] = None,
    arm: Annotated[list[str] | None, Option(help="An arm. May be given again.", show_default="all")] = None,
    k: Annotated[list[int] | None, Option(help="Places of a list. May be given again.", show_default="5, 10")] = None,
    json_out: Annotated[
        Path | None, Option("--json", metavar="OUT", help="Write the figures to this file too.")
    ] = None,
) -> None:
    """Measure whether screened recommendations respect what a user cannot bear. No model is called."""
    from mirror_graph.evals.saferec.arms import ARMS
    from mirror_graph.evals.saferec.dataset import OWN
    from mirror_graph.evals.saferec.scoring import run

    report = run(inputs or OWN, arm or tuple(ARMS), k or (5, 10), split=split)
    if json_out is not None:
        json_out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    typer.echo("\n".join(_table(report)))


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
