"""`mirror user ID`: the safety facts that follow a user into every conversation, theirs to see and to change."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mirror_graph.cli.options import Database, Yes

if TYPE_CHECKING:
    from mirror_graph.state import SafetyConstraint

app = typer.Typer(help="See and change what is kept about a user.", no_args_is_help=True)

Kind = Literal[
    "allergy",
    "intolerance",
    "phobia",
    "trauma",
    "medical",
    "physical",
    "medication",
    "addiction",
    "dietary",
    "boundary",
    "other",
]
Severity = Literal["life-threatening", "serious", "preference"]
Status = Literal["active", "retracted"]

Entry = Annotated[str, typer.Argument(metavar="ENTRY", help="The id that `list` shows.")]
Subject = Annotated[str | None, typer.Option(metavar="WHOM", help="`user`, or the person it concerns.")]


@app.callback()
def choose(context: typer.Context, user_id: Annotated[str, typer.Argument(metavar="ID", help="The user.")]) -> None:
    """See and change what is kept about a user: it follows them into every conversation."""
    context.obj = user_id


@app.command(name="list")
def list_entries(context: typer.Context, database: Database = None) -> None:
    """List what is kept, the retracted too, each with the words it stands on."""
    from mirror_graph.cli.database import with_user
    from mirror_graph.cli.render import console
    from mirror_graph.host import User
    from mirror_graph.state.constraints import priority

    async def listed(user: User) -> tuple[list["SafetyConstraint"], int]:
        return await user.constraints(), await user.evicted()

    entries, gone = with_user(context.obj, database, listed)
    if not entries:
        console.print(f"Nothing is kept about {context.obj!r}.", style="dim", markup=False)
    for entry in sorted(entries, key=priority):
        _show(entry)
    if gone:
        console.print(f"{gone} that weighed less had to leave the full list.", style="dim")


@app.command()
def add(
    context: typer.Context,
    about: Annotated[str, typer.Argument(metavar="WORDS", help="The danger, in the user's own words.")],
    kind: Annotated[Kind, typer.Option(help="What it is.")] = "other",
    severity: Annotated[Severity, typer.Option(help="How bad it is.")] = "serious",
    subject: Subject = None,
    database: Database = None,
) -> None:
    """Add a danger."""
    from mirror_graph.cli.database import with_user

    _show(
        with_user(
            context.obj,
            database,
            lambda user: user.add(about, kind=kind, severity=severity, subject=subject or "user"),
            creates=True,
        )
    )


@app.command()
def edit(
    context: typer.Context,
    entry: Entry,
    about: Annotated[str | None, typer.Option(metavar="WORDS", help="The danger.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="What it is.")] = None,
    severity: Annotated[Severity | None, typer.Option(help="How bad it is.")] = None,
    subject: Subject = None,
    status: Annotated[Status | None, typer.Option(help="Whether it holds.")] = None,
    database: Database = None,
) -> None:
    """Change an entry. What is changed here outranks whatever is thought later."""
    from mirror_graph.cli.database import with_user
    from mirror_graph.host import ConstraintChanges

    given = {"about": about, "kind": kind, "severity": severity, "subject": subject, "status": status}
    changes: ConstraintChanges = {name: value for name, value in given.items() if value}  # type: ignore[assignment]  # by name
    if not changes:
        raise typer.BadParameter("say what changes: --about, --kind, --severity, --subject or --status")
    _show(with_user(context.obj, database, lambda user: user.edit(entry, **changes)))


@app.command()
def export(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there.", dir_okay=False)] = None,
    database: Database = None,
) -> None:
    """Print all of it as JSON."""
    from mirror_graph.cli.database import with_user
    from mirror_graph.host import User

    exported = with_user(context.obj, database, User.export)
    if output is None:
        typer.echo(exported)
        return
    output.write_text(f"{exported}\n", encoding="utf-8")
    typer.echo(f"{output} is written.")


@app.command()
def forget(
    context: typer.Context,
    entry: Annotated[str | None, typer.Argument(metavar="[ENTRY]", help="One entry's id.", show_default="all")] = None,
    database: Database = None,
    yes: Yes = False,
) -> None:
    """Erase an entry, in every conversation, or everything that is kept about the user."""
    from mirror_graph.cli.database import with_user
    from mirror_graph.errors import UnknownConstraintError
    from mirror_graph.host import User

    known = {constraint["id"]: constraint for constraint in with_user(context.obj, database, User.constraints)}
    if entry is not None and entry not in known:
        raise UnknownConstraintError(entry)
    what = f"all that is kept about {context.obj!r} ({len(known)})" if entry is None else repr(known[entry]["about"])
    if not yes:
        typer.confirm(f"Erase {what}, for good?", abort=True)
    with_user(context.obj, database, lambda user: user.forget(entry))
    typer.echo(f"Erased {what}.")


def _show(entry: "SafetyConstraint") -> None:
    from mirror_graph.cli.render import console, constraint

    console.print(constraint(entry))
