"""Hosts that are killed, at a chosen step or at any moment, and what must hold afterwards."""

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import aiosqlite
import psycopg
from langchain_core.messages import AnyMessage, BaseMessage

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.models import register_script

CONTEXT = MirrorContext(talker_model="scripted:crashing", think_after=0)


END_LEASES = "UPDATE mirror_leases SET until = {long_ago}"


async def end_leases(database: str) -> None:
    """Let time go by until a killed host's leases have run out: the waiting is not what is tested."""
    if database.startswith("postgres"):
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            await connection.execute(END_LEASES.format(long_ago="to_timestamp(0)"))
    else:
        async with aiosqlite.connect(database) as connection:
            await connection.execute(END_LEASES.format(long_ago=0))
            await connection.commit()


def answer(messages: list[BaseMessage]) -> str:
    """Answer a message by its number, and think about all numbers that have been seen."""
    numbers = re.findall(r"message (\d+)", messages[-1].text)
    if "You are a kind companion" in messages[0].text:
        return f"reply {numbers[-1]}"
    return "I know of " + ", ".join(f"message {number}" for number in sorted(set(numbers), key=int)[-20:]) + "."


register_script("crashing", answer)


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that kills its process, as `kill -9` would, at its `last`th step."""

    def __init__(self, last: int | None) -> None:
        super().__init__()
        self.steps = 0
        self._last = last

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        """Count a step of the program: every await that comes back passes here."""
        self.steps += 1
        if self.steps == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().call_soon(callback, *args, context=context)


def run_killed(program: Callable[[], Awaitable[None]], last: int) -> bool:
    """Run `program` in a forked process that dies at its `last`th step; return whether it got to its end."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        loop = CountingLoop(last)
        asyncio.set_event_loop(loop)
        loop.run_until_complete(program())  # type: ignore[arg-type]  # a coroutine
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status)


def count_steps(program: Callable[[], Awaitable[None]]) -> int:
    """Return how many steps `program` takes."""
    loop = CountingLoop(None)
    try:
        loop.run_until_complete(program())  # type: ignore[arg-type]  # a coroutine
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    return loop.steps


async def talk(database: str, first: int, last: int, report: Callable[[int], None] = lambda number: None) -> None:
    """Say `message first` to `message last`, telling of each reply that has come, and let thinking settle."""
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        for number in range(first, last + 1):
            await conversation.say(f"message {number}")
            report(number)
            await conversation.settle()


def check(messages: list[AnyMessage], answered: int) -> None:
    """Hold that what was answered is there, once and in order, each message with its reply behind it."""
    said = [message.text for message in messages if message.type == "human"]
    replies = [message.text for message in messages if message.type == "ai"]
    numbers = [int(text.split()[-1]) for text in said]
    assert numbers == sorted(set(numbers)), said
    assert numbers[:answered] == list(range(1, answered + 1)), (said, answered)
    assert [int(text.split()[-1]) for text in replies] == numbers[: len(replies)], (said, replies)
    turns = [message.response_metadata["mirror"]["turn"] for message in messages if message.type == "ai"]
    assert turns == list(range(1, len(turns) + 1))


async def goes_on(database: str, answered: int, again: int) -> None:
    """Hold that a killed conversation has lost nothing, and that saying the message again works."""
    await end_leases(database)
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        before = await conversation.messages()
        check(before, answered)
        mind = await conversation.mind()
        replies = len([message for message in before if message.type == "ai"])
        assert mind.turn <= replies
        assert await conversation.settle(timeout=60)  # also while the last message has no reply
        assert (await conversation.mind()).turn == replies
        if f"reply {again}" not in [message.text for message in before]:
            await conversation.say(f"message {again}")
        assert await conversation.settle(timeout=20)
        check(await conversation.messages(), again)
        mind = await conversation.mind()
        assert (mind.turn, mind.lag) == (again, 0)
        assert f"message {again}" in mind.narrative
