"""Options that several commands share."""

from typing import Annotated

import typer

Database = Annotated[
    str | None,
    typer.Option(
        envvar="MIRROR_DATABASE",
        metavar="PATH|URL",
        help="A SQLite file, or a postgresql:// URL.",
        show_default="a file in your data folder",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
