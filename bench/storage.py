"""What a thread weighs in a database after ten, a hundred and a thousand turns, against the one-node chat."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.lib.baseline import StockChat, stock_graph
from bench.lib.databases import fresh_databases
from bench.lib.filler_text import Speech
from bench.lib.scripted_models import scripted_voices
from bench.lib.thread_size import CYCLE, Weight, weigh_as_it_grows, weigh_mirror
from mirror_graph import MirrorContext
from mirror_graph.evals.report import Aim, Figures, Report
from mirror_graph.models import scripted_model
from mirror_graph.storage import open_storage


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    turns: int = 1_000
    """A thread is weighed after this many turns, a tenth and a hundredth."""
    message_tokens: int = 50
    """Tokens of a user's message."""
    reply_tokens: int = 150
    """Tokens of a reply."""
    thought_tokens: int = 80
    """Tokens of a thought."""
    narrative_tokens: int = 400
    """Tokens of a narrative."""
    postgres: str | None = None
    """URL of an empty PostgreSQL database. If None, one is started."""
    seed: int = 1
    """Seed of texts and times."""


def measure(sizes: Sizes) -> Report:
    """Weigh a thread after a hundredth, a tenth and all of `turns`, on every database there is."""
    marks = sorted({max(1, sizes.turns // part) for part in (100, 10, 1)})
    speech = Speech(sizes.seed)
    words = partial(speech.text, sizes.message_tokens)
    models = scripted_voices(
        speech, reply=sizes.reply_tokens, thought=sizes.thought_tokens, narrative=sizes.narrative_tokens
    )
    tables: dict[str, Figures] = {}
    aims: list[Aim] = []
    with fresh_databases(sizes.postgres) as databases:
        for name, database in databases.items():
            ours = asyncio.run(weigh_mirror(database, MirrorContext(**models), words, marks))
            stock = asyncio.run(_weigh_stock(database, models["talker_model"], words, marks))
            tables[f"{name}, {sizes.message_tokens + sizes.reply_tokens} tokens a turn"] = {
                f"{arm} after {turn:,} turns": weight.figures()
                for arm, weights in (("mirror", ours), ("one-node chat", stock))
                for turn, weight in zip(marks, weights, strict=True)
            }
            aims += _aims(name, marks, ours)
    return Report(
        tables,
        aims,
        notes=[
            f"A thread weighs the most of the {CYCLE} turns up to the one named, chat and mind together.",
            "Both arms use the same saver, compressed the same way; the one-node chat keeps every message.",
        ],
    )


def _aims(database: str, turns: Sequence[int], weights: Sequence[Weight]) -> list[Aim]:
    aims = [Aim(f"{database}: KiB a thread after {turns[-1]:,} turns", weights[-1].bytes / 1024, most=64)]
    if len(turns) > 1:
        ratio = weights[-1].bytes / weights[-2].bytes
        aims.append(Aim(f"{database}: bytes after {turns[-1]:,} turns over {turns[-2]:,}", ratio, most=1.1))
    return aims


async def _weigh_stock(database: str, model: str, words: Callable[[], str], turns: Sequence[int]) -> list[Weight]:
    async with open_storage(database) as storage:
        chat = StockChat(stock_graph(scripted_model(model.removeprefix("scripted:")), storage.saver))

        async def say() -> None:
            async for _ in chat.stream(words()):
                pass

        return await weigh_as_it_grows(database, [chat.thread_id], say, turns)
