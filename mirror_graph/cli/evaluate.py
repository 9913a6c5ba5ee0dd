"""`mirror eval`: evaluate MIRROR's rules on your own data."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="eval", help="Evaluate MIRROR's rules on your own data.", no_args_is_help=True)


@app.callback()
def choose() -> None:
    """Make `mirror eval` take a subcommand although it has only one."""


@app.command()
def guard(
    ratings: Annotated[Path, typer.Option(help="A CSV file of rated replies.", exists=True, dir_okay=False)],
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures to this file.", dir_okay=False)
    ] = None,
) -> None:
    """Count how often the guard adds a note, on replies that people rated and on unrelated ones. No model is called."""
    from mirror_graph.cli.render import console, guard_table
    from mirror_graph.evals.guard import measure

    figures = measure(ratings)
    if as_json is not None:
        as_json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print(guard_table(figures))
