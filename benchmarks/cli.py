"""`mirror bench`: one command a benchmark."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, Typer

from mirror_graph.benchmarks.curate.cli import app as curate

if TYPE_CHECKING:
    from mirror_graph.benchmarks.report import Report

app = Typer(
    name="bench",
    help="Measure what MIRROR costs, beside what it is compared with. OPENAI_BASE_URL chooses the endpoint; "
    "without it one is started that answers with a fixed delay.",
    no_args_is_help=True,
)
app.add_typer(curate)

Json = Annotated[Path | None, Option("--json", help="Write the figures to this file as well.", dir_okay=False)]
Seed = Annotated[int, Option(help="What the texts are drawn from.")]
Model = Annotated[str, Option(help="The model, where OPENAI_BASE_URL is set.")]
Turns = Annotated[int, Option(min=1, help="Turns of a conversation.")]
Delay = Annotated[float, Option(min=0, help="Seconds before the endpoint's first token.")]
Pause = Annotated[float, Option(min=0, help="Seconds after each of its words.")]
MessageTokens = Annotated[int, Option(min=1, help="Tokens of a user's message.")]
ReplyTokens = Annotated[int, Option(min=1, help="Tokens of a reply.")]


@app.command()
def overhead(
    turns: Turns = 200,
    short: Annotated[int, Option(min=1, help="A thread is weighed after so many turns...")] = 50,
    long: Annotated[int, Option(min=1, help="...and after so many.")] = 500,
    delay: Delay = 0.1,
    pause: Pause = 0.002,
    message_tokens: MessageTokens = 100,
    reply_tokens: ReplyTokens = 400,
    model: Model = "gpt-4o-mini",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Added time to the first token and to the whole reply, against a bare chat; what a thread weighs."""
    from mirror_graph.benchmarks.overhead import measure

    _run(
        "overhead",
        measure,
        json,
        turns=turns,
        short=short,
        long=long,
        delay=delay,
        pause=pause,
        message_tokens=message_tokens,
        reply_tokens=reply_tokens,
        model=model,
        seed=seed,
    )


def _run(name: str, measure: "Callable[..., Report]", json: Path | None, **sizes: Any) -> None:
    from mirror_graph.benchmarks.report import machine, show, write

    before = machine()
    report = measure(**sizes)
    show(report)
    if json is not None:
        write(json, name, sizes, before, report)
