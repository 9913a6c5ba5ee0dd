"""Drivers: one conversation over each scheduler, behind one interface."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast
from uuid import uuid4

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
from tests.replies import Replies, prompts_of
from tests.server import Chat, FakeModels, ServerFixture

SchedulerName = Literal["local", "store", "server", "inline"]


@dataclass
class Driver:
    """A conversation over one of the schedulers."""

    models: FakeModels
    scheduler: "SchedulerDriver"
    model: str
    pause: float
    reads_while_thinking: int = 0

    @property
    def replies(self) -> Replies:
        """The replies of this conversation, by component."""
        return self.models.replies[self.model]

    def prompts_of(self, component: str) -> list[str]:
        """Return the prompts of a component."""
        return prompts_of(self.models.calls(self.model), component)

    async def say(self, text: str) -> dict[str, int]:
        """Say something and return what the reply stood on."""
        return await self.scheduler.say(text)

    async def mind(self) -> MindState:
        """Look at the mind: it is never seen half changed."""
        mind = await self.scheduler.mind()
        turns = {mind["narrative"].get("turn", 0), *(thought["turn"] for thought in mind["thoughts"])}
        passages = {passage["turn"] for passage in mind["monologue"][-1:]}
        assert turns | passages | {mind["turn"]} == {mind["turn"]}
        return mind

    async def thought(self, turn: int) -> MindState:
        """Wait until the turn has been thought about."""
        return await self.changed(lambda mind: mind["turn"] >= turn)

    async def changed(self, is_expected: Callable[[MindState], bool]) -> MindState:
        """Wait until the mind is so, looking at it all the while."""
        deadline = time.monotonic() + 100
        while not is_expected(mind := await self.mind()):
            assert time.monotonic() < deadline
            self.reads_while_thinking += bool(self.prompts_of("synthesis"))
            await asyncio.sleep(0.02)
        return mind

    async def think_again(self, turn: int) -> None:
        """Hand over the first turns up to `turn` once more, and wait for what becomes of it."""
        await self.scheduler.hand_over(turn)


class SchedulerDriver(Protocol):
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


def reply_state(noted: dict[str, Any]) -> dict[str, int]:
    """Return what a reply stood on."""
    return {name: noted[name] for name in ("turn", "narrative_turn", "lag")}


class HostDriver:
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
        scheduler, messages = self._conversation._engine.scheduler, await self._conversation.messages()
        await scheduler.schedule(
            ThinkingPass(self._conversation.thread_id, turn, messages[: 2 * turn], self._context, 1)
        )
        await scheduler.settle(self._conversation.thread_id)


class GraphDriver:
    """A thread of a talker that is compiled here, as a server without more than that would run it."""

    def __init__(
        self, graph: Any, scheduler: Scheduler, load: Callable[[str], Awaitable[MindState]], context: Any
    ) -> None:
        self._graph, self._scheduler, self._load, self._context = graph, scheduler, load, context
        self._thread_id = str(uuid4())
        self._turn = asyncio.Lock()
        self._messages: list[AnyMessage] = []

    async def say(self, text: str) -> dict[str, int]:
        config = {"configurable": {"thread_id": self._thread_id}}
        async with self._turn:
            state = await self._graph.ainvoke({"messages": [("user", text)]}, config, context=self._context)
        self._messages = state["messages"]
        return reply_state(self._messages[-1].response_metadata["mirror"])

    async def mind(self) -> MindState:
        return await self._load(self._thread_id)

    async def hand_over(self, turn: int) -> None:
        work = ThinkingPass(self._thread_id, turn, self._messages[: 2 * turn], self._context, 1)
        if not isinstance(self._scheduler, StoreScheduler):
            await self._scheduler.schedule(work)
            return
        [scheduler] = self._scheduler._schedulers.values()  # of the store that every run was handed
        await scheduler.schedule(work)
        await scheduler.settle(self._thread_id)


class ServerDriver:
    """A thread of a LangGraph server."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def say(self, text: str) -> dict[str, int]:
        return reply_state((await self._chat.say(text))["response_metadata"]["mirror"])

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


@dataclass
class DriverOpener:
    """Opens conversations over the scheduler `name`; `stack` closes what they stand on."""

    name: SchedulerName
    server: ServerFixture
    folder: Path
    stack: AsyncExitStack

    async def __call__(self, *, pause: bool = False, **choices: Any) -> Driver:
        """Open one; with a `pause` that a burst has to leave before a pass begins, or with none."""
        # A server takes up a run within about half a second, and accepts no delay below one second.
        burst = 3.0 if self.name == "server" else 2.0
        choices = {"think_after": burst if pause else 0, **choices}
        if self.name == "server":
            chat = self.server.chat(**choices)
            return Driver(self.server, ServerDriver(chat), chat.model, burst)
        model = f"test-{uuid4()}"
        self.server.replies[model] = Replies()
        context = MirrorContext(talker_model=f"openai:{model}", **choices)
        return Driver(self.server, await self._open(model, context), model, burst)

    async def _open(self, model: str, context: MirrorContext) -> SchedulerDriver:
        database = self.folder / f"{model}.db"
        if self.name == "local":
            host = await self.stack.enter_async_context(open_mirror(database))
            return HostDriver(Conversation(host._engine, str(uuid4()), context), context)
        if self.name == "inline":
            storage = await self.stack.enter_async_context(open_storage(database))
            minds = CheckpointMindStore(storage)
            inline = InlineScheduler(minds)
            return GraphDriver(build_talker(inline).compile(checkpointer=storage.saver), inline, minds.load, context)
        store, scheduler = InMemoryStore(), StoreScheduler(thinker)
        graph = build_talker(scheduler).compile(checkpointer=InMemorySaver(), store=store)
        return GraphDriver(graph, scheduler, ItemMindStore(store, thinker).load, context)
