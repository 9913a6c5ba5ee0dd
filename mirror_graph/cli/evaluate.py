"""`mirror eval`: how well MIRROR and its rules do, on data of your own. What is heavy is imported by the command."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mirror_graph.evals.curate.cli import app as curate
from mirror_graph.evals.saferec.cli import app as saferec
from mirror_graph.output_file import check_output

app = typer.Typer(name="eval", help="Measure MIRROR and its rules, on data of your own.", no_args_is_help=True)
app.add_typer(curate)
app.add_typer(saferec)

Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.", callback=check_output)]
Seed = Annotated[int, typer.Option(help="Seed for every random choice.")]


@app.command()
def relevance(
    inputs: Annotated[
        Path | None,
        typer.Option(help="Constraints and requests (default: CURATe's, from MIRROR_CURATE_DIR).", dir_okay=False),
    ] = None,
    model: Annotated[str, typer.Option(help="The model that anticipates and checks.")] = "local:qwen2.5-coder-1.5b",
    strategies: Annotated[str, typer.Option(help="Comma-separated strategies.")] = "relations,anticipate,check",
    limit: Annotated[int | None, typer.Option(min=1, help="Measure a sample of this many constraints.")] = None,
    touches: Annotated[
        Path | None,
        typer.Option(help="Save the generated triggers in this file, and reuse them.", callback=check_output),
    ] = None,
    embeddings: Annotated[str, typer.Option(help="The embeddings model, such as openai:NAME.")] = "",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Measure which requests a constraint is relevant to: recall, false alarms and cost of each strategy."""
    from mirror_graph.evals.relevance import measure
    from mirror_graph.evals.report import publish

    sizes: dict[str, Any] = {
        "inputs": str(inputs) if inputs else None,
        "model": model,
        "strategies": strategies,
        "limit": limit,
        "seed": seed,
        "touches": str(touches) if touches else None,
        "embeddings": embeddings,
    }
    publish("relevance", sizes, lambda: measure(**sizes), json)


@app.command()
def ledger(
    inputs: Annotated[
        Path | None, typer.Option(help="Constraints (default: CURATe's, from MIRROR_CURATE_DIR).", dir_okay=False)
    ] = None,
    facts: Annotated[
        Path | None, typer.Option(help="Harmless facts (default: those next to the inputs).", dir_okay=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="The thinking model (default: measure the scanner alone).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Think about this many introductions and harmless facts.")] = 24,
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Measure how many of a user's constraints reach the ledger, and what else does."""
    from mirror_graph.evals.ledger import measure
    from mirror_graph.evals.report import publish

    sizes: dict[str, Any] = {
        "inputs": str(inputs) if inputs else None,
        "facts": str(facts) if facts else None,
        "model": model,
        "limit": limit,
        "seed": seed,
    }
    publish("ledger", sizes, lambda: measure(**sizes), json)


@app.command()
def guard(
    ratings: Annotated[Path, typer.Option(help="A CSV file of rated replies.", exists=True, dir_okay=False)],
    json: Json = None,
) -> None:
    """Count how often the guard adds a note, on replies that people rated and on unrelated ones. No model is called."""
    from json import dumps

    from mirror_graph.cli.render import console, guard_table
    from mirror_graph.evals.guard import measure

    figures = measure(ratings)
    if json is not None:
        json.write_text(dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print(guard_table(figures))
