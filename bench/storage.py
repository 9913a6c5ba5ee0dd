"""What a thread weighs in a database after ten, a hundred and a thousand turns, against the one-node chat."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from mirror_graph import MirrorContext
from mirror_graph.benchmarks.bare import StockChat, stock_graph
from mirror_graph.benchmarks.databases import fresh_databases
from mirror_graph.benchmarks.report import Aim, Figures, Report
from mirror_graph.benchmarks.scripts import scripted_voices
from mirror_graph.benchmarks.speech import Speech
from mirror_graph.benchmarks.weight import CYCLE, Weight, weigh_as_it_grows, weigh_mirror
from mirror_graph.models import scripted_model
from mirror_graph.storage import open_storage


def measure(
    *,
    turns: int,
    message_tokens: int,
    reply_tokens: int,
    thought_tokens: int,
    narrative_tokens: int,
    postgres: str | None,
    seed: int,
) -> Report:
    """Weigh a thread after a hundredth, a tenth and all of `turns`, on every database there is."""
    marks = sorted({max(1, turns // part) for part in (100, 10, 1)})
    speech = Speech(seed)
    words = partial(speech.text, message_tokens)
    models = scripted_voices(speech, reply=reply_tokens, thought=thought_tokens, narrative=narrative_tokens)
    tables: dict[str, Figures] = {}
    aims: list[Aim] = []
    with fresh_databases(postgres) as databases:
        for name, database in databases.items():
            ours = asyncio.run(weigh_mirror(database, MirrorContext(**models), words, marks))
            stock = asyncio.run(_weigh_stock(database, models["talker_model"], words, marks))
            tables[f"{name}, {message_tokens + reply_tokens} tokens a turn"] = {
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
