"""`mirror model`: download and list local models."""

from importlib.util import find_spec
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from mirror_graph.errors import ModelFileError

app = typer.Typer(help="Download and list models that run on this machine.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name, as `mirror model list` shows it.")]
DEFAULT = "qwen2.5-coder-1.5b"


@app.command()
def pull(name: Name = DEFAULT) -> None:
    """Download a model. An interrupted download is resumed."""
    from mirror_graph.cli.render import console
    from mirror_graph.models.weights import catalogued, pull

    file = catalogued(name)
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=file.size)
        path = pull(name, on_progress=lambda fetched, size: progress.update(task, completed=fetched, total=size))
        progress.update(task, completed=file.size)
    typer.echo(path)
    if find_spec("xllamacpp") is None:
        typer.echo("To run it: pip install 'mirror-graph[local]'")


@app.command(name="list")
def list_models() -> None:
    """List the local models, and which of them are downloaded."""
    from mirror_graph.cli.render import console
    from mirror_graph.models.weights import CATALOGUE, find

    table = Table("name", "size", "licence", "", box=None, header_style="dim", padding=(0, 2))
    for name, file in CATALOGUE.items():
        try:
            find(name)
            state = "downloaded"
        except ModelFileError:
            state = "not downloaded"
        table.add_row(f"local:{name}", f"{file.size / 1e9:.1f} GB", file.licence, state)
    console.print(table)


@app.command()
def path(name: Name = DEFAULT) -> None:
    """Print the path of a downloaded model."""
    from mirror_graph.models.weights import find

    typer.echo(find(name))
