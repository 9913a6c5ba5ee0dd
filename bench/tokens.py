"""What a turn takes in tokens: a bare chat, the paper's set-up, and each of our ways of thinking."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import get_args

from bench.lib.baseline import BareChat, openai_chat
from bench.lib.fake_endpoint import Provider, Voice, served
from bench.lib.filler_text import Speech
from bench.lib.paper_chat import PaperChat
from bench.lib.settling import settle
from mirror_graph import MirrorContext, open_mirror
from mirror_graph.evals.report import Aim, Report
from mirror_graph.state import Thinking, Tokens
from mirror_graph.state.usage import NO_TOKENS, add_tokens

Turn = Mapping[str, Tokens]
"""What a turn took, by component."""

PAPER = "the paper's"
CACHED_PRICE = 0.1
"""What a cached input token costs of one that is not."""

RECENT = 10
"""Turns which tell what a turn takes at the end: prompts shrink in steps, so that the last alone says little."""


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    turns: int = 50
    """Turns of a conversation."""
    message_tokens: int = 50
    """Tokens of a user's message."""
    reply_tokens: int = 150
    """Tokens of a reply."""
    thought_tokens: int = 80
    """Tokens of a thought."""
    narrative_tokens: int = 400
    """Tokens of a narrative."""
    model: str = "gpt-4o-mini"
    """The model of the endpoint, if OPENAI_BASE_URL is set."""
    seed: int = 1
    """Seed of texts and times."""


def measure(sizes: Sizes) -> Report:
    """Hold the same conversation of `turns` turns in every arm and add up what its calls took."""
    voices = {
        "talker": Voice(sizes.reply_tokens),
        "thinker": Voice(sizes.thought_tokens),
        "joint": Voice(3 * sizes.thought_tokens),
        "synthesis": Voice(sizes.narrative_tokens),
    }
    speech = Speech(sizes.seed)
    texts = [speech.text(sizes.message_tokens) for _ in range(sizes.turns)]
    with served(voices, model=sizes.model, seed=sizes.seed) as provider:
        arms = asyncio.run(_converse(provider, texts))
    last = {arm: took[-RECENT:] for arm, took in arms.items()}
    effective = {arm: _figures(took)["effective input"] for arm, took in last.items()}
    return Report(
        tables={
            f"tokens a turn, the last {RECENT}": {arm: _figures(took) for arm, took in last.items()},
            f"tokens a turn, all {sizes.turns}": {arm: _figures(took) for arm, took in arms.items()},
            f"effective input by component, the last {RECENT}": {
                arm: _by_component(took) for arm, took in last.items()
            },
        },
        aims=[
            Aim(f"effective input of `{mode}` over the paper's", effective[f"mirror, {mode}"] / effective[PAPER], most)
            for mode, most in (("parallel", 0.5), ("joint", 0.35))
        ],
        notes=[
            f"Effective input counts a cached token as {CACHED_PRICE} of one that is not.",
            "Calls made at the same moment find each other's prompt cached, which not every provider does.",
        ],
    )


async def _converse(provider: Provider, texts: Sequence[str]) -> dict[str, list[Turn]]:
    arms = {"bare chat": await _bare(provider, texts), PAPER: await _paper(provider, texts)}
    return arms | {f"mirror, {mode}": await _ours(provider, mode, texts) for mode in get_args(Thinking)}


async def _bare(provider: Provider, texts: Sequence[str]) -> list[Turn]:
    chat = BareChat(openai_chat(provider.name("talker", "bare")), "You are a helpful assistant.")
    took: list[Turn] = []
    for text in texts:
        async for _ in chat.stream(text):
            pass
        took.append({"talker": chat.usage})
    return took


async def _paper(provider: Provider, texts: Sequence[str]) -> list[Turn]:
    chat = PaperChat({role: openai_chat(provider.name(role, "paper")) for role in ("talker", "joint", "synthesis")})
    return [await chat.say(text) for text in texts]


async def _ours(provider: Provider, thinking: Thinking, texts: Sequence[str]) -> list[Turn]:
    context = MirrorContext(thinking=thinking, **provider.context(thinking))
    took: list[Turn] = []
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("tokens")
        for turn, text in enumerate(texts, start=1):
            await conversation.say(text)
            if thinking != "off":
                await settle(conversation)
            usage = (await conversation.mind()).usage
            took.append({name: used["latest"] for name, used in usage.items() if used["turn"] == turn})
    return took


def _figures(turns: Sequence[Turn]) -> dict[str, float]:
    """Return what a turn took on average, all components together."""
    total = reduce(add_tokens, (tokens for turn in turns for tokens in turn.values()), NO_TOKENS)
    found: dict[str, float] = {name: total[name] / len(turns) for name in ("calls", "input", "cached", "output")}
    return {**found, "effective input": _effective(total) / len(turns)}


def _by_component(turns: Sequence[Turn]) -> dict[str, float]:
    names = dict.fromkeys(name for turn in turns for name in turn)
    return {name: sum(_effective(turn.get(name, NO_TOKENS)) for turn in turns) / len(turns) for name in names}


def _effective(tokens: Tokens) -> float:
    return tokens["input"] - (1 - CACHED_PRICE) * tokens["cached"]
