"""A law of edits: whatever a user says, edits and regenerates, only what stands in the conversation shapes a reply."""

import asyncio
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage

from mirror_graph import Conversation, MirrorContext, open_mirror
from mirror_graph.models import register_script
from mirror_graph.state.branch import turn_of
from tests.builders import heavy_law

DANGERS = ("peanuts", "shrimp", "sesame", "kiwi", "latex", "walnuts", "mustard", "celery", "eggs", "soy")
KINDS = ("say", "say", "say", "retake", "edit", "edit earlier", "settle")
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.booleans(), st.integers(0, 5)), max_size=12)


@dataclass
class Exchange:
    """A message as its user sees it, its danger, and the reply."""

    text: str
    danger: str | None
    reply: str


@dataclass
class User:
    """A user, the conversation as they see it, and the prompts that it led to."""

    long: bool
    shown: list[Exchange] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    prompts: list[str] = field(default_factory=list)
    count: int = 0
    name: str = field(default_factory=lambda: f"edits-{uuid4()}")

    def __post_init__(self) -> None:
        register_script(self.name, self.answer)

    def answer(self, messages: list[BaseMessage]) -> str:
        """Reply with a number, and think of everything that was read."""
        whole = "\n".join(message.text for message in messages)
        if "You are a kind companion" not in messages[0].text:
            return "I noticed " + " ".join(sorted({word for word in whole.split() if word.startswith("word-")}))
        self.prompts.append(whole)
        return f"This is word-reply-{len(self.prompts)}-end ." + " More of it." * (20 if self.long else 0)

    async def play(self, conversation: Conversation, kind: str, has_danger: bool, place: int) -> None:
        """Do one thing, and write down what the conversation is then."""
        if kind == "settle":
            await conversation.settle(timeout=100)
            return
        held = [message for message in await conversation.messages() if message.type == "human"]
        if kind == "say" or not held:
            text, danger = self.message(has_danger)
            position = len(self.shown)
            reply = await conversation.say(text)
        elif kind == "retake":
            position = len(self.shown) - 1
            text, danger = self.shown[-1].text, self.shown[-1].danger
            reply = await conversation.retake()
        else:
            back = 0 if kind == "edit" else place % len(held)
            position = len(self.shown) - 1 - back
            text, danger = self.message(has_danger)
            message_id = None if kind == "edit" else held[-1 - back].id
            reply = await conversation.edit(text, message_id=message_id)
        for exchange in self.shown[position:]:
            words = [exchange.reply] if kind == "retake" else [exchange.reply, exchange.text]
            self.gone |= {word for each in words for word in each.split() if word.startswith("word-")}
        self.shown[position:] = [Exchange(text, danger, reply.text)]

    def message(self, has_danger: bool) -> tuple[str, str | None]:
        """Return a message that no other message equals, with a danger of its own if there is one left."""
        self.count += 1
        danger = DANGERS[self.count - 1] if has_danger and self.count <= len(DANGERS) else None
        fact = f" I'm allergic to {danger}." if danger else ""
        return f"About word-message-{self.count}-end please.{fact}", danger


async def check(user: User, conversation: Conversation) -> None:
    """Compare what is stored with the conversation as its user sees it."""
    for word in user.gone:
        assert word not in user.prompts[-1].split() if user.prompts else True
    texts = [message.text for message in await conversation.transcript()]
    assert texts == [text for exchange in user.shown for text in (exchange.text, exchange.reply)]
    turns = [turn_of(message) for message in await conversation.transcript() if message.type == "ai"]  # type: ignore[arg-type]
    assert turns == sorted(set(turns), key=lambda turn: turn or 0)


async def active(conversation: Conversation) -> set[str]:
    """Return what holds in the ledger."""
    return {entry["about"] for entry in (await conversation.mind()).constraints if entry["status"] == "active"}


@pytest.mark.parametrize("user_id", [None, "ana"])
@heavy_law(40)
@given(steps=STEPS, long=st.booleans())
def test_only_what_stands_shapes_a_reply(user_id: str | None, steps: list[tuple[str, bool, int]], long: bool) -> None:
    async def play() -> None:
        user = User(long)
        context = MirrorContext(
            talker_model=f"scripted:{user.name}",
            think_after=0,
            guard="off",
            window_tokens=500 if long else 20_000,
        )
        async with open_mirror(context=context, transcripts=True) as mirror:
            conversation = mirror.conversation("t", user_id=user_id)
            for kind, has_danger, place in steps:
                await user.play(conversation, kind, has_danger, place)
                await check(user, conversation)
            await conversation.settle(timeout=100)
            stated = {exchange.danger for exchange in user.shown if exchange.danger}
            if user_id is None:
                assert await active(conversation) == stated
            else:
                # What was read twice, such as before and after a retake, stays in the user's list until they erase it.
                shared = await mirror.user(user_id).constraints()
                assert {entry["about"] for entry in shared if entry["status"] == "active"} >= stated
                assert await active(conversation) >= stated

    asyncio.run(play())
