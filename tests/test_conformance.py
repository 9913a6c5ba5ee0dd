"""What every scheduler promises, each promise written once and held against all of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast
from uuid import uuid4

import pytest
from langchain_core.messages import AnyMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from mirror_graph import Conversation, MirrorContext, build_talker, open_mirror
from mirror_graph.graphs.thinker import thinker
from mirror_graph.host.mind_store import CheckpointMindStore
from mirror_graph.scheduling import Scheduler, ThinkingPass, mind_thread
from mirror_graph.scheduling.inline import InlineScheduler
from mirror_graph.scheduling.item_store import ItemMindStore, StoreScheduler
from mirror_graph.state import MindState, empty_mind
from mirror_graph.storage import open_storage
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Voices, asked
from tests.server import Cast, Chat, Stage, serving, until

pytestmark = pytest.mark.enable_socket

SchedulerName = Literal["local", "store", "server", "inline"]
BESIDE: tuple[SchedulerName, ...] = ("local", "store", "server")
"""The schedulers that think beside the talker. What holds for `inline` instead stands below each of their promises."""


async def test_a_new_turn_is_answered_at_once_and_takes_over_what_was_being_thought(beside: "Opening") -> None:
    talk = await beside()
    talk.voices.said["goals"] = [Answer("Unsaid.", delay=talk.slow), "A dinner."]

    await talk.say("first")
    await until(lambda: talk.asked("goals"))
    thinking_since = time.monotonic()
    reply = await talk.say("second")

    assert time.monotonic() - thinking_since < talk.slow * 0.8
    assert reply == {"turn": 2, "narrative_turn": 0, "lag": 1}
    mind = await talk.thought(2)
    assert "Unsaid." not in str(mind)
    assert len(talk.asked("synthesis")) == 1
    assert '"first"' in talk.asked("goals")[-1]
    assert '"second"' in talk.asked("goals")[-1]


async def test_inline_a_turn_that_is_cut_off_is_taken_over_by_the_next(inline: "Opening") -> None:
    talk = await inline()
    talk.voices.said["goals"] = [Answer("Unsaid.", delay=5), "A dinner."]

    cut = asyncio.create_task(talk.say("first"))
    await until(lambda: talk.asked("goals"))
    cut.cancel()
    with suppress(asyncio.CancelledError):
        await cut
    assert (await talk.mind())["turn"] == 0
    await talk.say("second")

    assert "Unsaid." not in str(await talk.thought(2))
    assert len(talk.asked("synthesis")) == 1
    assert '"first"' in talk.asked("goals")[-1]


async def test_a_burst_costs_one_pass_about_all_of_it(beside: "Opening") -> None:
    talk = await beside(pause=True, max_lag=100)

    await asyncio.gather(*(talk.say(words) for words in ("one", "two", "three")))
    assert talk.asked("goals") == []
    await talk.thought(3)

    [prompt] = talk.asked("goals")
    assert all(f'"{words}"' in prompt for words in ("one", "two", "three"))


async def test_inline_the_pass_is_over_when_the_reply_returns(inline: "Opening") -> None:
    talk = await inline(think_after=3_600, max_lag=1)

    for turn in range(1, 4):
        reply = await talk.say(f"message {turn}")
        assert reply == {"turn": turn, "narrative_turn": turn - 1, "lag": 0}
        assert (await talk.mind())["turn"] == turn

    assert len(talk.asked("goals")) == 3


async def test_a_pass_is_left_to_finish_once_the_mind_is_far_behind(beside: "Opening") -> None:
    talk = await beside(max_lag=2)
    talk.voices.said["goals"] = [Answer("A party.", delay=talk.slow), "A dinner."]

    await talk.say("message 1")
    await until(lambda: talk.asked("goals"))
    for turn in (2, 3):
        await talk.say(f"message {turn}")
    first = await talk.thought(1)
    await talk.thought(3)

    assert "A party." in str(first["thoughts"])
    assert len(talk.asked("goals")) == len(talk.asked("synthesis")) == 2
    assert '"message 1"' not in talk.asked("synthesis")[-1]


async def test_messages_without_a_pause_do_not_put_thinking_off_for_ever(beside: "Opening") -> None:
    talk = await beside(pause=True, max_lag=2)

    turn = 0
    while not talk.asked("goals"):
        turn += 1
        assert turn < 9, "nobody thinks"
        await talk.say(f"message {turn}")
        await asyncio.sleep(talk.pause / 5)

    await talk.thought(turn)


async def test_a_mind_changes_all_at_once_and_never_back(everywhere: "Opening") -> None:
    talk = await everywhere()
    talk.voices.said["synthesis"] = [Answer("I know of the party.", delay=0.5), "I know of the dinner too."]

    saying = asyncio.create_task(talk.say("first"))
    mind = await talk.thought(1)
    await saying
    reply = await talk.say("second")
    newest = await talk.thought(2)
    await talk.think_again(1)

    assert talk.looks_while_thinking > 0
    assert {thought["thinker"] for thought in mind["thoughts"]} == {"goals", "reasoning", "memory"}
    assert reply == {"turn": 2, "narrative_turn": 1, "lag": 0}
    assert "I know of the party." in talk.asked("talker")[1]
    assert await talk.mind() == newest
    assert len(talk.asked("goals")) == 2


async def test_a_pass_that_fails_leaves_the_last_mind_and_the_next_catches_up(everywhere: "Opening") -> None:
    async def converse(talk: Talk, *failing: str) -> None:
        fine = dict(talk.voices.said)
        await talk.say("one")
        before = await talk.thought(1)

        talk.voices.said.update(dict.fromkeys(failing, Answer(status=400, error="no such luck")))
        await talk.say("two")
        failed = await talk.changed(lambda mind: set(mind["failures"]) == set(failing))
        assert {**failed, "failures": {}, "usage": {}} == {**before, "usage": {}}
        assert "no such luck" not in str(failed)

        talk.voices.said.update(fine)
        reply = await talk.say("three")
        assert reply == {"turn": 3, "narrative_turn": 1, "lag": 1}
        await talk.thought(3)
        for words, counted in (("one", False), ("two", True), ("three", True)):
            said_since = talk.asked("goals")[-1].rpartition('"one"')[2]
            assert (f'"{words}"' in said_since) == counted

    await asyncio.gather(
        converse(await everywhere(), "goals", "reasoning", "memory"), converse(await everywhere(), "synthesis")
    )


@dataclass
class Talk:
    """A conversation over one of the schedulers."""

    cast: Cast
    seat: "Seat"
    model: str
    slow: float
    pause: float
    looks_while_thinking: int = 0

    @property
    def voices(self) -> Voices:
        """What each voice of this conversation says."""
        return self.cast.voices[self.model]

    def asked(self, voice: str) -> list[str]:
        """Return the prompts of a voice."""
        return asked(self.cast.calls(self.model), voice)

    async def say(self, text: str) -> dict[str, int]:
        """Say something and return what the reply stood on."""
        return await self.seat.say(text)

    async def mind(self) -> MindState:
        """Look at the mind: it is never seen half changed."""
        mind = await self.seat.mind()
        turns = {mind["narrative"].get("turn", 0), *(thought["turn"] for thought in mind["thoughts"])}
        passages = {passage["turn"] for passage in mind["monologue"][-1:]}
        assert turns | passages | {mind["turn"]} == {mind["turn"]}
        return mind

    async def thought(self, turn: int) -> MindState:
        """Wait until the turn has been thought about."""
        return await self.changed(lambda mind: mind["turn"] >= turn)

    async def changed(self, so: Callable[[MindState], bool]) -> MindState:
        """Wait until the mind is so, looking at it all the while."""
        deadline = time.monotonic() + 30
        while not so(mind := await self.mind()):
            assert time.monotonic() < deadline
            self.looks_while_thinking += bool(self.asked("synthesis"))
            await asyncio.sleep(0.02)
        return mind

    async def think_again(self, turn: int) -> None:
        """Hand over the first turns up to `turn` once more, and wait for what becomes of it."""
        await self.seat.hand_over(turn)


class Seat(Protocol):
    """Where a conversation is held: what differs from scheduler to scheduler."""

    async def say(self, text: str) -> dict[str, int]:
        """Say something and return what the reply stood on."""
        ...

    async def mind(self) -> MindState:
        """Return the stored mind."""
        ...

    async def hand_over(self, turn: int) -> None:
        """Hand over a pass about the first turns, and wait until it is over."""
        ...


def standing(noted: dict[str, Any]) -> dict[str, int]:
    """Return what a reply stood on."""
    return {name: noted[name] for name in ("turn", "narrative_turn", "lag")}


class InHost:
    """A conversation of a host."""

    def __init__(self, conversation: Conversation, context: MirrorContext) -> None:
        self._conversation = conversation
        self._context = context

    async def say(self, text: str) -> dict[str, int]:
        reply = await self._conversation.say(text)
        return {"turn": reply.turn, "narrative_turn": reply.narrative_turn, "lag": reply.lag}

    async def mind(self) -> MindState:
        return await self._conversation._engine.minds.load(self._conversation.thread_id)

    async def hand_over(self, turn: int) -> None:
        lane, messages = self._conversation._engine.scheduler, await self._conversation.messages()
        await lane.schedule(ThinkingPass(self._conversation.thread_id, turn, messages[: 2 * turn], self._context, 1))
        await lane.settle(self._conversation.thread_id)


class InGraph:
    """A thread of a talker that is compiled here, as a server without more than that would run it."""

    def __init__(self, graph: Any, lane: Scheduler, load: Callable[[str], Awaitable[MindState]], context: Any) -> None:
        self._graph, self._lane, self._load, self._context = graph, lane, load, context
        self._thread_id = str(uuid4())
        self._turn = asyncio.Lock()
        self._messages: list[AnyMessage] = []

    async def say(self, text: str) -> dict[str, int]:
        config = {"configurable": {"thread_id": self._thread_id}}
        async with self._turn:
            state = await self._graph.ainvoke({"messages": [("user", text)]}, config, context=self._context)
        self._messages = state["messages"]
        return standing(self._messages[-1].response_metadata["mirror"])

    async def mind(self) -> MindState:
        return await self._load(self._thread_id)

    async def hand_over(self, turn: int) -> None:
        work = ThinkingPass(self._thread_id, turn, self._messages[: 2 * turn], self._context, 1)
        if not isinstance(self._lane, StoreScheduler):
            await self._lane.schedule(work)
            return
        [lane] = self._lane._schedulers.values()  # of the store that every run was handed
        await lane.schedule(work)
        await lane.settle(self._thread_id)


class OnServer:
    """A thread of a LangGraph server."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def say(self, text: str) -> dict[str, int]:
        return standing((await self._chat.say(text))["response_metadata"]["mirror"])

    async def mind(self) -> MindState:
        with suppress(Exception):  # no pass has begun, so that there is no such thread
            state = await self._chat.client.threads.get_state(mind_thread(self._chat.thread_id))
            values = cast("dict[str, Any]", state["values"])
            return cast(MindState, {key: values.get(key, empty) for key, empty in empty_mind().items()})
        return empty_mind()

    async def hand_over(self, turn: int) -> None:
        said: Any = {"messages": (await self._chat.state())["messages"][: 2 * turn]}
        context = {"talker_model": f"openai:{self._chat.model}"}
        await self._chat.client.runs.wait(mind_thread(self._chat.thread_id), "thinker", input=said, context=context)


class Opening(Protocol):
    """Opens conversations over a scheduler."""

    async def __call__(self, *, pause: bool = False, **choices: Any) -> Talk:
        """Open one; with a `pause` that a burst has to leave before anything is thought, or with none."""
        ...


@pytest.fixture(scope="module")
def provider() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def url(provider: Endpoint) -> Iterator[str]:
    with serving(provider) as url:
        yield url


@pytest.fixture(params=BESIDE)
async def beside(request: pytest.FixtureRequest, opened: Callable[[SchedulerName], Opening]) -> Opening:
    return opened(request.param)


@pytest.fixture(params=(*BESIDE, "inline"))
async def everywhere(request: pytest.FixtureRequest, opened: Callable[[SchedulerName], Opening]) -> Opening:
    return opened(request.param)


@pytest.fixture
async def inline(opened: Callable[[SchedulerName], Opening]) -> Opening:
    return opened("inline")


@pytest.fixture
async def opened(
    request: pytest.FixtureRequest, provider: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[SchedulerName], Opening]]:
    """Open conversations over any scheduler, and close what they stand on."""
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    async with AsyncExitStack() as stack:

        def opened(scheduler: SchedulerName) -> Opening:
            stage = Stage(request.getfixturevalue("url") if scheduler == "server" else "", provider)
            stack.push_async_callback(stage.close)
            # A server takes up a run within half a second or so, and knows no shorter delay than one.
            slow, burst = (3.0, 2.0) if scheduler == "server" else (1.5, 1.0)

            async def open_talk(*, pause: bool = False, **choices: Any) -> Talk:
                choices = {"think_after": burst if pause else 0, **choices}
                model = f"test-{uuid4()}"
                context = MirrorContext(talker_model=f"openai:{model}", **choices)
                stage.voices[model] = Voices()
                seat: Seat
                if scheduler == "local":
                    host = await stack.enter_async_context(open_mirror(tmp_path / f"{model}.db"))
                    conversation = Conversation(host._engine, str(uuid4()), context)
                    seat = InHost(conversation, context)
                elif scheduler == "inline":
                    storage = await stack.enter_async_context(open_storage(tmp_path / f"{model}.db"))
                    minds = CheckpointMindStore(storage)
                    inline = InlineScheduler(minds)
                    seat = InGraph(
                        build_talker(inline).compile(checkpointer=storage.saver), inline, minds.load, context
                    )
                elif scheduler == "store":
                    store, lane = InMemoryStore(), StoreScheduler(thinker)
                    graph = build_talker(lane).compile(checkpointer=InMemorySaver(), store=store)
                    seat = InGraph(graph, lane, ItemMindStore(store, thinker).load, context)
                else:
                    chat = stage.chat(**choices)
                    model = chat.model
                    seat = OnServer(chat)
                return Talk(stage, seat, model, slow, burst)

            return open_talk

        yield opened
