"""The commands of `mirror`. Heavy imports stand in the functions that use them, so that `mirror --help` is fast."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from mirror_graph.cli.evaluate import app as evaluate
from mirror_graph.cli.model import app as model
from mirror_graph.cli.options import Database, Yes
from mirror_graph.cli.user import app as user
from mirror_graph.training.cli import app as train

app = typer.Typer(
    help="Chat with a model that keeps thinking between turns, so that it can keep its user safe.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(user, name="user")
app.add_typer(model, name="model")
app.add_typer(evaluate, name="eval")
app.add_typer(train, name="train")

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
User = Annotated[
    str | None, typer.Option(metavar="ID", help="The user's id. Their constraints apply in all of their conversations.")
]
Mode = Annotated[
    Thinking,
    typer.Option(
        metavar="MODE",
        help="How to think between turns: parallel, joint, synthesis_only, monologue_only or off.",
    ),
]


@app.command()
def chat(
    thread: Thread = "default",
    database: Database = None,
    model: Model = None,
    thinking: Mode = "parallel",
    user: User = None,
) -> None:
    """Start a conversation, or continue an earlier one. Type /help for the commands inside the chat."""
    from mirror_graph.cli.chat import chat

    chat(thread, database=database, model=model, thinking=thinking, user=user)


@app.command()
def serve(
    database: Database = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8765,
    user: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="The user on a server without sign-in.",
            show_default="me, unless callers sign in with keys or tokens",
        ),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help='A TOML file of API keys: lines of `user = "key"`.')
    ] = None,
    user_header: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The header in which a front end names the user, if it has MIRROR_TRUSTED_KEY."
        ),
    ] = None,
    model: Model = None,
    thinking: Mode = "parallel",
) -> None:
    """Serve a page for the browser, an endpoint for OpenAI clients and the memory API.

    Callers sign in with bearer tokens if MIRROR_JWT_AUDIENCE and MIRROR_JWT_KEYS_URL or MIRROR_JWT_SECRET are set.
    """
    from mirror_graph.cli.serve import serve

    serve(
        database=database,
        host=host,
        port=port,
        user=user,
        keys=keys,
        user_header=user_header,
        model=model,
        thinking=thinking,
    )


@app.command()
def mcp(
    database: Database = None,
    user: Annotated[str, typer.Option(metavar="ID", help="Whose constraints they are.")] = "me",
) -> None:
    """Serve a user's constraints to an agent as MCP tools, on standard input and output.

    The server does not think between turns.
    """
    from mirror_graph.cli.serve import mcp

    mcp(database=database, user=user)


@app.command()
def demo(model: Model = None, thinking: Mode = "parallel") -> None:
    """Play a conversation in which the first message must shape the last reply. Compare with `--thinking off`."""
    from mirror_graph.cli.demo import demo

    demo(model, thinking)


@app.command()
def mind(
    thread: Thread,
    database: Database = None,
    user: User = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show the last 20 narratives.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show word by word how the narrative changed.")] = False,
) -> None:
    """Show the mind of a conversation: narrative, thoughts, constraints, failures and token usage."""
    from mirror_graph.cli.database import read_history, read_mind
    from mirror_graph.cli.render import console, mind_panel, show_changes, show_failures, show_history, usage_table

    if history or diff:
        narratives = read_history(thread, database, user)
        if as_json:
            print(json.dumps({"thread": thread, "history": narratives}, ensure_ascii=False, indent=2))
        elif len(narratives) < 1 + diff:
            console.print(
                "There is only one narrative so far." if narratives else "There is no narrative yet.", style="dim"
            )
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
        replies = "1 reply" if found.guarded == 1 else f"{found.guarded:,} replies"
        console.print(f"The guard added a note to {replies}.", style="cyan")


@app.command()
def forget(
    thread: Thread,
    database: Database = None,
    user: User = None,
    yes: Yes = False,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Erase on this LangGraph server instead; THREAD is then a thread's id."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="MIRROR_SERVER_TOKEN", metavar="TOKEN", help="A bearer token for the server.")
    ] = None,
) -> None:
    """Delete a conversation and its mind from the database, or from a server."""
    from mirror_graph.cli.database import forget_thread, read_mind

    if server is not None:
        from mirror_graph.cli.remote import forget_on_server

        if not yes:
            typer.confirm(f"Permanently delete {thread!r} and its mind from {server}?", abort=True)
        forget_on_server(server, thread, token=token, user=user)
        typer.echo(f"Deleted {thread!r} from {server}.")
        return
    found = read_mind(thread, database, user)
    if not yes:
        turns = found.turn + found.lag
        plural = "turn" if turns == 1 else "turns"
        typer.confirm(f"Permanently delete {thread!r} ({turns} {plural}) and its mind?", abort=True)
    forget_thread(thread, database, user)
    typer.echo(f"Deleted {thread!r}.")


@app.command()
def prune(
    database: Database = None,
    older_than: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=1, help="Also erase conversations that were not used for this many days."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete checkpoints that no reply will read.

    open_mirror does this after every turn; run it for databases that other programs write to.
    """
    from mirror_graph.cli.database import forget_unused, prune

    if older_than is not None:
        if not yes:
            typer.confirm(f"Permanently erase conversations that were not used for {older_than} days?", abort=True)
        erased = forget_unused(database, older_than)
        typer.echo(f"Erased {erased:,} {'conversation' if erased == 1 else 'conversations'}.")
    threads = prune(database)
    typer.echo(f"Pruned {threads:,} {'thread' if threads == 1 else 'threads'}.")


@app.command()
def key() -> None:
    """Print a new random key for MIRROR_AES_KEY."""
    from mirror_graph.encryption.keys import new_key

    typer.echo(new_key())


@app.command()
def encrypt(database: Database = None) -> None:
    """Encrypt what is stored in clear or with an earlier key, with the first key of MIRROR_AES_KEY.

    Hosts may go on working, if each of them has all keys that are in use.
    """
    from mirror_graph.cli.database import encrypt

    threads = encrypt(database)
    typer.echo(f"Encrypted {threads:,} {'thread' if threads == 1 else 'threads'}, and all constraints of users.")
