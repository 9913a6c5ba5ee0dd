"""The commands. What is heavy is imported where it is used, so that `mirror --help` answers at once."""

import json
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from mirror_graph.benchmarks.cli import app as bench
from mirror_graph.cli.evaluate import app as evaluate
from mirror_graph.cli.model import app as model
from mirror_graph.cli.options import Database, Yes
from mirror_graph.cli.user import app as user

app = typer.Typer(
    help="Talk to a chat model that thinks between turns, so that it keeps its user safe.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(user, name="user")
app.add_typer(model, name="model")
app.add_typer(bench, name="bench")
app.add_typer(evaluate, name="eval")

Thinking = Literal["parallel", "joint", "synthesis_only", "monologue_only", "off"]

Thread = Annotated[str, typer.Argument(metavar="THREAD", help="The conversation's name.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="openai:NAME, local:NAME, scripted:NAME or PROVIDER:NAME.",
        show_default="openai:gpt-4o-mini with OPENAI_API_KEY, else a downloaded local model, else scripted:demo",
    ),
]
User = Annotated[str | None, typer.Option(metavar="ID", help="Whose conversation it is.")]
Mode = Annotated[
    Thinking,
    typer.Option(metavar="MODE", help="Between turns: parallel, joint, synthesis_only, monologue_only or off."),
]


@app.command()
def chat(
    thread: Thread = "default",
    database: Database = None,
    model: Model = None,
    thinking: Mode = "parallel",
    user: User = None,
) -> None:
    """Talk, in a new conversation or where an earlier one stopped. /help lists what else can be typed."""
    from mirror_graph.cli.chat import chat

    chat(thread, database=database, model=model, thinking=thinking, user=user)


@app.command()
def demo(model: Model = None, thinking: Mode = "parallel") -> None:
    """Play six turns in which what was said first matters last. Compare with `--thinking off`."""
    from mirror_graph.cli.demo import demo

    demo(model, thinking)


@app.command()
def mind(
    thread: Thread,
    database: Database = None,
    user: User = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show the last narratives.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show how the narrative changed, word by word.")] = False,
) -> None:
    """Show what is thought about a conversation, what failed, and what it took."""
    from mirror_graph.cli.database import read_history, read_mind
    from mirror_graph.cli.render import console, mind_panel, show_changes, show_failures, show_history, usage_table

    if history or diff:
        narratives = read_history(thread, database, user)
        if as_json:
            print(json.dumps({"thread": thread, "history": narratives}, ensure_ascii=False, indent=2))
        elif len(narratives) < 1 + diff:
            console.print("The narrative has not changed yet." if narratives else "No narrative yet.", style="dim")
        else:
            (show_changes if diff else show_history)(narratives)
        return
    found = read_mind(thread, database, user)
    if as_json:
        print(json.dumps({"thread": thread, **asdict(found)}, ensure_ascii=False, indent=2))
        return
    console.print(mind_panel(found))
    show_failures(found)
    console.print(usage_table(found))
    if found.guarded:
        console.print(f"The guard added to {found.guarded:,} repl{'ies' if found.guarded > 1 else 'y'}.", style="cyan")


@app.command()
def forget(
    thread: Thread,
    database: Database = None,
    user: User = None,
    yes: Yes = False,
) -> None:
    """Erase a conversation and its mind from the database."""
    from mirror_graph.cli.database import forget_thread, read_mind

    found = read_mind(thread, database, user)
    if not yes:
        turns = found.turn + found.lag
        typer.confirm(f"Erase {thread!r}, {turns} turn{'s' * (turns != 1)} and its mind, for good?", abort=True)
    forget_thread(thread, database, user)
    typer.echo(f"{thread!r} is forgotten.")


@app.command()
def prune(database: Database = None) -> None:
    """Delete what no reply will read. A host does so itself: this is for a database another program wrote to."""
    from mirror_graph.cli.database import prune

    threads = prune(database)
    typer.echo(f"{threads:,} thread{'s' * (threads != 1)}, each as small as it can be.")
