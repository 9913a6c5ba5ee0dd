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
    help="Measure what MIRROR costs, beside what it is compared with. The endpoint is one that is started for the run "
    "and answers with a fixed delay, or OPENAI_BASE_URL where that is set.",
    no_args_is_help=True,
)
app.add_typer(curate)

Json = Annotated[Path | None, Option("--json", help="Write the figures to this file too.", dir_okay=False)]
Seed = Annotated[int, Option(help="What texts and times are drawn from.")]
Model = Annotated[str, Option(help="The model of the endpoint, where OPENAI_BASE_URL is set.")]
Turns = Annotated[int, Option(min=1, help="Turns of a conversation.")]
Delay = Annotated[float, Option(min=0, help="Seconds before the endpoint's first word.")]
WordPause = Annotated[float, Option(min=0, help="Seconds after each of its words.")]
MessageTokens = Annotated[int, Option(min=1, help="Tokens of a user's message.")]
ReplyTokens = Annotated[int, Option(min=1, help="Tokens of a reply.")]
ThoughtTokens = Annotated[int, Option(min=1, help="Tokens of a thought.")]
NarrativeTokens = Annotated[int, Option(min=1, help="Tokens of a narrative.")]
Conversations = Annotated[int, Option(min=1, help="Number of conversations.")]


@app.command()
def overhead(
    turns: Turns = 200,
    short: Annotated[int, Option(min=1, help="Weigh a thread after so many turns...")] = 50,
    long: Annotated[int, Option(min=1, help="...and after so many.")] = 500,
    delay: Delay = 0.1,
    word_pause: WordPause = 0.002,
    message_tokens: MessageTokens = 100,
    reply_tokens: ReplyTokens = 400,
    model: Model = "gpt-4o-mini",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Time added to a reply, against a bare chat; what a thread weighs."""
    from mirror_graph.benchmarks.overhead import measure

    _run(
        "overhead",
        measure,
        json,
        turns=turns,
        short=short,
        long=long,
        delay=delay,
        word_pause=word_pause,
        message_tokens=message_tokens,
        reply_tokens=reply_tokens,
        model=model,
        seed=seed,
    )


@app.command()
def agents(
    turns: Turns = 100,
    delay: Delay = 0.1,
    word_pause: WordPause = 0.002,
    message_tokens: MessageTokens = 100,
    reply_tokens: ReplyTokens = 100,
    model: Model = "gpt-4o-mini",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Time that `MirrorMiddleware` adds to the reply of an agent."""
    from mirror_graph.benchmarks.agent_overhead import measure

    _run(
        "agents",
        measure,
        json,
        turns=turns,
        delay=delay,
        word_pause=word_pause,
        message_tokens=message_tokens,
        reply_tokens=reply_tokens,
        model=model,
        seed=seed,
    )


@app.command()
def overlap(
    pairs: Annotated[int, Option(min=1, help="Pairs of replies in each arm: one idle, one beside a thought.")] = 10,
    thought: Annotated[float, Option(min=0, help="Seconds that a thought takes.")] = 3.0,
    delay: Delay = 0.3,
    gap: Annotated[float, Option(min=0, help="Seconds from a reply to the next message.")] = 1.0,
    server: Annotated[bool, Option(help="Start `langgraph dev` for the arms that run on a server.")] = True,
    model: Model = "gpt-4o-mini",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Time of a reply beside a thought in flight: one graph, two strategies, and the two lanes."""
    from mirror_graph.benchmarks.overlap import measure

    _run(
        "overlap",
        measure,
        json,
        pairs=pairs,
        thought=thought,
        delay=delay,
        gap=gap,
        server=server,
        model=model,
        seed=seed,
    )


@app.command()
def human(
    conversations: Conversations = 80,
    turns: Turns = 5,
    hurry: Annotated[float, Option(min=0.1, help="Then as many times as fast as the paper's human.")] = 4.0,
    message_tokens: MessageTokens = 30,
    reply_tokens: ReplyTokens = 150,
    median: Annotated[float, Option(min=0, help="Seconds of a model call: median,")] = 2.16,
    mean: Annotated[float, Option(min=0, help="mean,")] = 2.52,
    least: Annotated[float, Option(min=0, help="least,")] = 0.74,
    most: Annotated[float, Option(min=0, help="and most.")] = 13.24,
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """The paper's simulated human on a virtual clock: thinking in flight at the next message, and lag."""
    from mirror_graph.benchmarks.human import measure

    _run(
        "human",
        measure,
        json,
        conversations=conversations,
        turns=turns,
        hurry=hurry,
        message_tokens=message_tokens,
        reply_tokens=reply_tokens,
        median=median,
        mean=mean,
        least=least,
        most=most,
        seed=seed,
    )


@app.command()
def load(
    conversations: Conversations = 500,
    turns: Annotated[int, Option(min=1, help="Turns of a conversation, flat out.")] = 10,
    paced_turns: Annotated[int, Option(min=1, help="Turns of a conversation, paced.")] = 2,
    pause: Annotated[float, Option(min=0, help="Seconds between reply and next message, paced, on average.")] = 60.0,
    delay: Delay = 0.3,
    word_pause: WordPause = 0.005,
    message_tokens: MessageTokens = 30,
    reply_tokens: ReplyTokens = 100,
    model: Model = "gpt-4o-mini",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Turns a second, time of a reply and memory of many conversations, against the one-node chat."""
    from mirror_graph.benchmarks.load import measure

    _run(
        "load",
        measure,
        json,
        conversations=conversations,
        turns=turns,
        paced_turns=paced_turns,
        pause=pause,
        delay=delay,
        word_pause=word_pause,
        message_tokens=message_tokens,
        reply_tokens=reply_tokens,
        model=model,
        seed=seed,
    )


@app.command()
def large_message(
    pairs: Annotated[int, Option(min=1, help="Messages of the second user in each arm.")] = 20,
    size: Annotated[int, Option(min=1, max=40_000, help="Bytes of the first user's message.")] = 40_000,
    delay: Delay = 0.1,
    word_pause: WordPause = 0.002,
    model: Model = "gpt-4o-mini",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Time of a user's reply while another user of the host sends a very long message."""
    from mirror_graph.benchmarks.load_large_message import measure

    _run(
        "large-message",
        measure,
        json,
        pairs=pairs,
        size=size,
        delay=delay,
        word_pause=word_pause,
        model=model,
        seed=seed,
    )


@app.command()
def storage(
    turns: Annotated[int, Option(min=1, help="Weigh a thread after so many turns, a tenth and a hundredth.")] = 1_000,
    message_tokens: MessageTokens = 50,
    reply_tokens: ReplyTokens = 150,
    thought_tokens: ThoughtTokens = 80,
    narrative_tokens: NarrativeTokens = 400,
    postgres: Annotated[str | None, Option(help="URL of an empty PostgreSQL database; or one is started.")] = None,
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Bytes and rows of a thread, against the one-node chat on the same saver."""
    from mirror_graph.benchmarks.storage import measure

    _run(
        "storage",
        measure,
        json,
        turns=turns,
        message_tokens=message_tokens,
        reply_tokens=reply_tokens,
        thought_tokens=thought_tokens,
        narrative_tokens=narrative_tokens,
        postgres=postgres,
        seed=seed,
    )


@app.command()
def tokens(
    turns: Turns = 50,
    message_tokens: MessageTokens = 50,
    reply_tokens: ReplyTokens = 150,
    thought_tokens: ThoughtTokens = 80,
    narrative_tokens: NarrativeTokens = 400,
    model: Model = "gpt-4o-mini",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Tokens of a turn, cached ones apart: a bare chat, the paper's set-up, each way of thinking."""
    from mirror_graph.benchmarks.tokens import measure

    _run(
        "tokens",
        measure,
        json,
        turns=turns,
        message_tokens=message_tokens,
        reply_tokens=reply_tokens,
        thought_tokens=thought_tokens,
        narrative_tokens=narrative_tokens,
        model=model,
        seed=seed,
    )


@app.command()
def relevance(
    inputs: Annotated[
        Path | None,
        Option(help="Constraints and requests; without it the copy of CURATe in MIRROR_CURATE_DIR.", dir_okay=False),
    ] = None,
    model: Annotated[str, Option(help="The model that anticipates and checks.")] = "local:qwen2.5-coder-1.5b",
    strategies: Annotated[str, Option(help="Which to measure.")] = "relations,anticipate,check",
    limit: Annotated[int | None, Option(min=1, help="Measure a sample of so many constraints.")] = None,
    touches: Annotated[
        Path | None, Option(help="Keep what was anticipated in this file, and begin from it.", dir_okay=False)
    ] = None,
    embeddings: Annotated[str, Option(help="The embeddings model of that strategy, such as openai:NAME.")] = "",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Which requests a constraint touches: recall, false alarms and cost of each way of deciding."""
    from mirror_graph.benchmarks.relevance import measure

    _run(
        "relevance",
        measure,
        json,
        inputs=str(inputs) if inputs else None,
        model=model,
        strategies=strategies,
        limit=limit,
        seed=seed,
        touches=str(touches) if touches else None,
        embeddings=embeddings,
    )


@app.command()
def ledger(
    inputs: Annotated[
        Path | None, Option(help="Constraints; without it the copy of CURATe in MIRROR_CURATE_DIR.", dir_okay=False)
    ] = None,
    facts: Annotated[
        Path | None, Option(help="Harmless facts; without it those beside the inputs.", dir_okay=False)
    ] = None,
    model: Annotated[
        str | None, Option(help="The model that thinks; without it the scanner alone is measured.")
    ] = None,
    limit: Annotated[int, Option(min=1, help="Think about so many introductions, and so many harmless facts.")] = 24,
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """What of a user's dangers reaches the ledger, and what else does."""
    from mirror_graph.benchmarks.ledger import measure

    _run(
        "ledger",
        measure,
        json,
        inputs=str(inputs) if inputs else None,
        facts=str(facts) if facts else None,
        model=model,
        limit=limit,
        seed=seed,
    )


def _run(name: str, measure: "Callable[..., Report]", json: Path | None, **sizes: Any) -> None:
    from mirror_graph.benchmarks.report import machine, show, write

    before = machine()
    report = measure(**sizes)
    show(report)
    if json is not None:
        write(json, name, sizes, before, report)
