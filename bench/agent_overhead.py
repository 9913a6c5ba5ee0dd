"""What `MirrorMiddleware` adds to the time of an agent's reply: the same agent with it and without it, turn by turn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from operator import sub
from typing import Any
from uuid import uuid4

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from bench.lib.baseline import openai_chat
from bench.lib.fake_endpoint import NARRATIVE_TOKENS, THOUGHT_TOKENS, Provider, Voice, served
from bench.lib.filler_text import Speech
from bench.lib.sizes import ReplySizes
from bench.lib.timing import Timing, timed
from mirror_graph import MirrorContext
from mirror_graph.agents import MirrorMiddleware
from mirror_graph.evals.report import Aim, Report, percentile, spread
from mirror_graph.guard.warming import warm_up

BARE, MIRROR = "bare agent", "agent with MIRROR"
WARM_UP = 3

INTRODUCTION = "I'm severely allergic to peanuts. I take warfarin. I'm terrified of heights."
"""What the user says first, so that every later reply is read against three constraints."""


class AgentChat:
    """One thread of an agent."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self.thread_id = f"thread {uuid4()}"

    async def stream(self, text: str) -> AsyncIterator[str]:
        """Say something and iterate over the pieces of the reply."""
        turn = {"messages": [HumanMessage(text)]}
        config = {"configurable": {"thread_id": self.thread_id}}
        async for piece, _ in self._agent.astream(turn, config, stream_mode="messages"):
            if isinstance(piece, AIMessageChunk):
                yield piece.text


@dataclass(frozen=True)
class Sizes(ReplySizes):
    """How much to measure."""

    turns: int = 100
    """Turns of each agent that are timed."""


def measure(sizes: Sizes) -> Report:
    """Time `turns` turns of both agents, one by one, each after the thinking pass of the one before."""
    voices = {
        "talker": Voice(sizes.reply_tokens, sizes.delay, sizes.word_pause),
        "thinker": Voice(THOUGHT_TOKENS, sizes.delay),
        "synthesis": Voice(NARRATIVE_TOKENS, sizes.delay),
    }
    with served(voices, model=sizes.model, seed=sizes.seed) as provider:
        times = asyncio.run(_time_replies(provider, sizes.turns, sizes.message_tokens, sizes.seed))
    added = [Timing(*map(sub, after, before)) for before, after in zip(times[BARE], times[MIRROR], strict=True)]
    first = [timing.first for timing in added]
    return Report(
        tables={
            f"time of a reply, {sizes.turns} turns": {
                **{arm: _figures(taken) for arm, taken in times.items()},
                f"{MIRROR} minus {BARE}, turn by turn": _figures(added),
            }
        },
        aims=[
            Aim("added time to the first token, p50, ms", percentile(first, 50) * 1_000, most=10),
            Aim("added time to the first token, p95, ms", percentile(first, 95) * 1_000, most=10),
        ],
        notes=["Both agents keep their whole thread in memory and show all of it to the model."],
    )


async def _time_replies(provider: Provider, turns: int, message_tokens: int, seed: int) -> dict[str, list[Timing]]:
    speech = Speech(seed)
    thinkers = {name: value for name, value in provider.context().items() if name != "talker_model"}
    mirror = MirrorMiddleware(context=MirrorContext(**thinkers))
    chats = {
        BARE: AgentChat(create_agent(openai_chat(provider.name("talker", "bare")), checkpointer=InMemorySaver())),
        MIRROR: AgentChat(
            create_agent(
                openai_chat(provider.name("talker", "mirror")), middleware=[mirror], checkpointer=InMemorySaver()
            )
        ),
    }
    await asyncio.to_thread(warm_up)  # a process does so in its first seconds
    arms = deque(chats.items())
    times: dict[str, list[Timing]] = {arm: [] for arm in chats}
    for turn in range(turns + WARM_UP):
        text = speech.text(message_tokens) if turn else INTRODUCTION
        for arm, chat in arms:
            times[arm].append(await timed(chat.stream(text)))
        arms.rotate()  # no arm is always first
        await mirror.settle(chats[MIRROR].thread_id, timeout=60)
    await mirror.aclose()
    return {arm: taken[WARM_UP:] for arm, taken in times.items()}


def _figures(times: Sequence[Timing]) -> dict[str, float]:
    return (
        spread("first token", [timing.first for timing in times])
        | spread("last token", [timing.last for timing in times])
        | spread("end of stream", [timing.end for timing in times])
    )
