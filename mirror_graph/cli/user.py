"""`mirror user`: list, change, export and erase the constraints that apply in every conversation of a user."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mirror_graph.cli.options import Database, Yes
from mirror_graph.output_file import check_output

if TYPE_CHECKING:
    from mirror_graph.state import SafetyConstraint

app = typer.Typer(help="List, change, export and erase a user's constraints.", no_args_is_help=True)

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

UserId = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]
Constraint = Annotated[str, typer.Argument(metavar="CONSTRAINT", help="The constraint's id, as `list` shows it.")]
Subject = Annotated[
    str | None, typer.Option(metavar="WHOM", help="Whom it applies to: `user`, or a person such as `my sister`.")
]


@app.command(name="list")
def list_constraints(user_id: UserId, database: Database = None) -> None:
    """List a user's constraints, including retracted ones, each with its quote."""
    from mirror_graph.cli.database import with_user
    from mirror_graph.cli.render import console
    from mirror_graph.host import User
    from mirror_graph.state.constraints import priority

    async def load(user: User) -> tuple[list["SafetyConstraint"], int]:
        return await user.constraints(), await user.evicted()

    constraints, evicted = with_user(user_id, database, load)
    if not constraints:
        console.print(
            f"User {user_id!r} has no constraints. A severe one is listed right after the reply, and any other "
            "after the thinking pass that reads it.",
            style="dim",
            markup=False,
            soft_wrap=True,
        )
    for constraint in sorted(constraints, key=priority):
        _show(constraint)
    if evicted == 1:
        console.print("1 less important constraint was evicted because the list was full.", style="dim")
    elif evicted:
        console.print(f"{evicted} less important constraints were evicted because the list was full.", style="dim")


@app.command()
def add(
    user_id: UserId,
    about: Annotated[str, typer.Argument(metavar="WORDS", help="What is dangerous, in the user's own words.")],
    kind: Annotated[Kind, typer.Option(help="What kind of constraint it is.")] = "other",
    severity: Annotated[Severity, typer.Option(help="How dangerous it is.")] = "serious",
    subject: Subject = None,
    database: Database = None,
) -> None:
    """Add a constraint."""
    from mirror_graph.cli.database import with_user

    _show(
        with_user(
            user_id,
            database,
            lambda user: user.add(about, kind=kind, severity=severity, subject="user" if subject is None else subject),
            creates=True,
        )
    )


@app.command()
def edit(
    user_id: UserId,
    constraint: Constraint,
    about: Annotated[str | None, typer.Option(metavar="WORDS", help="What is dangerous.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="What kind of constraint it is.")] = None,
    severity: Annotated[Severity | None, typer.Option(help="How dangerous it is.")] = None,
    subject: Subject = None,
    status: Annotated[Status | None, typer.Option(help="Whether it still applies.")] = None,
    database: Database = None,
) -> None:
    """Change a constraint. Later conversations do not override the change."""
    from mirror_graph.cli.database import with_user
    from mirror_graph.host import ConstraintChanges

    given = {"about": about, "kind": kind, "severity": severity, "subject": subject, "status": status}
    changes: ConstraintChanges = {name: value for name, value in given.items() if value is not None}  # type: ignore[assignment]  # by name
    if not changes:
        raise typer.BadParameter(
            "nothing to change: expected one or more of --about, --kind, --severity, --subject and --status"
        )
    _show(with_user(user_id, database, lambda user: user.edit(constraint, **changes)))


@app.command()
def export(
    user_id: UserId,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the JSON to this file.", callback=check_output)
    ] = None,
    database: Database = None,
) -> None:
    """Export a user's constraints as JSON."""
    from mirror_graph.cli.database import with_user
    from mirror_graph.host import User

    exported = with_user(user_id, database, User.export)
    if output is None:
        typer.echo(exported)
        return
    output.write_text(f"{exported}\n", encoding="utf-8")
    typer.echo(f"Wrote {output}.")


@app.command()
def forget(
    user_id: UserId,
    constraint: Annotated[
        str | None, typer.Argument(metavar="[CONSTRAINT]", help="One constraint's id.", show_default="all of them")
    ] = None,
    database: Database = None,
    yes: Yes = False,
) -> None:
    """Erase one constraint in every conversation, or all of a user's constraints."""
    from mirror_graph.cli.database import with_user
    from mirror_graph.errors import UnknownConstraintError
    from mirror_graph.host import User

    stored = {known["id"]: known for known in with_user(user_id, database, User.constraints)}
    if constraint is None:
        what = f"all constraints of {user_id!r} ({len(stored)})"
    elif constraint in stored:
        what = repr(stored[constraint]["about"])
    else:
        raise UnknownConstraintError(constraint)
    if not yes:
        typer.confirm(f"Permanently erase {what}?", abort=True)
    with_user(user_id, database, lambda user: user.forget(constraint))
    typer.echo(f"Erased {what}.")


def _show(constraint: "SafetyConstraint") -> None:
    from mirror_graph.cli import render

    render.console.print(render.constraint(constraint))
