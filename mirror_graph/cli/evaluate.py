"""`mirror eval`: how good MIRROR's rules are, on data of your own."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="eval", help="Measure how good the rules are, on data of your own.", no_args_is_help=True)


@app.callback()
def choose() -> None:
    """Take a command even while there is only one."""


@app.command()
def guard(
    ratings: Annotated[Path, typer.Option(help="Rated replies, as CSV.", exists=True, dir_okay=False)],
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.", dir_okay=False)] = None,
) -> None:
    """Count the guard's notes on replies that people rated, and on unrelated ones. No model is called."""
    from mirror_graph.cli.render import console, guard_table
    from mirror_graph.evals.guard import measure

    figures = measure(ratings)
    if as_json is not None:
        as_json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print(guard_table(figures))
