"""What holds a lane's thinking back, what ends it, and what it leaves in the database."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import date
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.base import BaseStore, SearchOp

from mirror_graph import Conversation, open_mirror
from mirror_graph.graphs.thinker import thinker
from mirror_graph.host.runtime import HostRuntime
from mirror_graph.ledger.user_constraints import tombstone
from mirror_graph.scheduling import ThinkingPass, mind_thread
from mirror_graph.scheduling.budget import DailyBudget
from mirror_graph.scheduling.item_store import ItemMindStore
from mirror_graph.scheduling.semaphore import FairSemaphore
from mirror_graph.state import MindState, empty_mind
from mirror_graph.state.window import new_exchanges
from mirror_graph.storage import open_storage
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.builders import context
from tests.replies import Replies, component_of, prompts_of
from tests.server import until


def passes(endpoint: Endpoint) -> int:
    return len(prompts_of(endpoint.calls, "goals"))


async def test_an_older_pass_never_replaces_a_newer_narrative(database: str | None) -> None:
    from mirror_graph.models import register_script

    register_script("fine", lambda messages: "Fine.")
    async with open_storage(database) as storage:
        engine = HostRuntime(storage, max_thinking=8, daily_tokens=None)
        conversation = Conversation(
            engine, "7b1e7a9e-3f0c-4b8e-9d0a-111111111111", context(talker_model="scripted:fine")
        )
        for words in ("one", "two"):
            await conversation.say(words)
            await conversation.settle()
        newest = await engine.minds.load(conversation.thread_id)
        older = {**newest, "turn": 1, "narrative": {"turn": 1, "text": "old"}, "thoughts": [], "monologue": []}
        late = ThinkingPass(conversation.thread_id, 1, (await conversation.messages())[:2], context(), behind=1)
        await engine.minds.commit(late, older)  # type: ignore[arg-type]  # a mind
        assert await engine.minds.load(conversation.thread_id) == newest
        await engine.close()


class MeetingStore(BaseStore):
    """A store on which two processes read before either of them writes."""

    def __init__(self, store: BaseStore) -> None:
        self._store = store
        self._both = asyncio.Barrier(2)

    def batch(self, ops: Any) -> Any:
        raise NotImplementedError

    async def abatch(self, ops: Any) -> Any:
        asked = list(ops)
        found = await self._store.abatch(asked)
        if any(isinstance(op, SearchOp) for op in asked):
            await self._both.wait()
        return found


async def test_of_two_processes_that_commit_at_once_neither_is_lost_and_the_newer_stays(database: str | None) -> None:
    def mind(turn: int, about: str) -> MindState:
        return {
            **empty_mind(),
            "turn": turn,
            "narrative": {"turn": turn, "text": f"Account {turn}."},
            "constraints": [tombstone(about, at=1.0)],
        }

    work = ThinkingPass("7b1e7a9e-3f0c-4b8e-9d0a-222222222222", 2, [], context(), behind=1)
    async with open_storage(database) as storage:
        minds, meeting = ItemMindStore(storage.store, thinker), ItemMindStore(MeetingStore(storage.store), thinker)
        await minds.commit(work, mind(1, "peanuts"))
        await asyncio.gather(meeting.commit(work, mind(3, "latex")), meeting.commit(work, mind(2, "cats")))
        for _ in range(2):
            found = await minds.load(work.thread_id)
            assert (found["turn"], found["narrative"]["text"]) == (3, "Account 3.")
            assert {entry["id"] for entry in found["constraints"]} == {"peanuts", "latex", "cats"}
            await minds.commit(work, mind(2, "cats"))  # an older one, late
        assert len(await storage.store.asearch(("mirror", "minds"))) == 1


@pytest.mark.parametrize("words", ["hello", "I am late"])
async def test_what_is_no_news_is_not_thought_about(endpoint: Endpoint, words: str) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        for _ in range(3):
            await conversation.say(words)
            assert await conversation.settle(timeout=100)
        mind = await conversation.mind()
    assert (mind.turn, mind.lag, passes(endpoint)) == (3, 0, 1)


exchanges = st.lists(
    st.fixed_dictionaries(
        {"turn": st.just(1), "user": st.sampled_from(["", "a", "b"]), "reply": st.sampled_from(["", "x", "y"])}
    )
)


@given(exchanges)
def test_news_leaves_out_only_empty_words_and_exact_repeats(said: list[Any]) -> None:
    fresh = new_exchanges(said, [])
    assert new_exchanges(fresh, []) == fresh
    answered = [exchange for exchange in said if exchange["user"]]
    assert fresh == [exchange for exchange, _ in groupby(answered)]


async def test_a_threads_budget_ends_its_thinking_and_not_its_talking(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component = {voice: Answer("Fine.", usage=(100, 10, 0)) for voice in replies.by_component}
    async with open_mirror(context=context(thread_tokens=500)) as mirror:
        conversation, other = mirror.conversation("t"), mirror.conversation("other")
        for turn in range(1, 4):
            await conversation.say(f"message {turn}")
            await conversation.settle(timeout=100)
        reply = await conversation.say("message 4")
        await conversation.settle(timeout=100)
        mind = await conversation.mind()
        await other.say("hello")
        assert await other.settle(timeout=100)
    assert (mind.turn, mind.lag, mind.paused) == (2, 2, "thread budget")
    assert (reply.turn, reply.lag) == (4, 1)


async def test_a_days_budget_ends_the_hosts_thinking(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component = {voice: Answer("Fine.", usage=(100, 10, 0)) for voice in replies.by_component}
    async with open_mirror(context=context(), daily_tokens=400) as mirror:
        for name in ("a", "b"):
            await mirror.conversation(name).say("hello")
            await mirror.conversation(name).settle(timeout=100)
        first, second = await mirror.conversation("a").mind(), await mirror.conversation("b").mind()
    assert (first.turn, second.turn, second.lag, second.paused) == (1, 0, 1, "daily budget")


async def test_the_calls_of_a_pass_that_was_cut_off_count(endpoint: Endpoint, replies: Replies, tmp_path: Path) -> None:
    replies.by_component = {voice: Answer("Fine.", usage=(100, 10, 0)) for voice in replies.by_component}
    replies.by_component["memory"] = Answer("slow", delay=5)
    async with open_mirror(tmp_path / "mirror.db", context=context(), daily_tokens=440) as mirror:
        conversation = mirror.conversation("t")
        for turn in (1, 2):
            assert (await conversation.mind()).paused == ""
            await conversation.say(f"message {turn}")
            await until(lambda turn=turn: thoughts_ended(endpoint) == 2 * turn)  # type: ignore[misc]  # a default
            await asyncio.sleep(0.1)
        mind = await conversation.mind()
        assert (mind.turn, mind.narrative, mind.thoughts, mind.paused) == (0, "", {}, "daily budget")
        assert {name: mind.usage[name]["total"]["calls"] for name in ("goals", "reasoning")} == {
            "goals": 1,
            "reasoning": 1,
        }
    async with open_mirror(tmp_path / "mirror.db", context=context(thread_tokens=440)) as mirror:
        assert (await mirror.conversation("t").mind()).paused == "thread budget"


def thoughts_ended(endpoint: Endpoint) -> int:
    return sum(call.ended is not None and component_of(call) in ("goals", "reasoning") for call in endpoint.calls)


def test_a_days_budget_is_whole_again_the_next_day() -> None:
    day = date(2026, 11, 21)
    budget = DailyBudget(100, lambda: day)
    budget.spend(100)
    assert budget.is_spent
    day = date(2026, 11, 22)
    assert not budget.is_spent
    assert not DailyBudget(None).is_spent


async def test_places_are_shared_fairly() -> None:
    places = FairSemaphore(4)
    thinking: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def think(owner: str) -> None:
        async with places.slot(owner):
            thinking[owner] += 1
            most[owner] = max(most[owner], thinking[owner])
            most["all"] = max(most["all"], thinking.total())
            try:
                await asyncio.sleep(0.02)
            finally:
                thinking[owner] -= 1

    greedy = [asyncio.create_task(think("greedy")) for _ in range(40)]
    await asyncio.sleep(0.005)
    await think("modest")
    assert not all(task.done() for task in greedy)
    for task in greedy[::3]:
        task.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)
    assert (most["greedy"], most["all"]) == (2, 3)
    async with asyncio.timeout(30):
        await asyncio.gather(think("a"), think("b"))


async def test_one_users_slow_thinking_delays_no_other_user(endpoint: Endpoint, replies: Replies) -> None:
    let_go = threading.Event()
    replies.by_component["goals"] = lambda call: Answer("slow", hold=let_go if "Ana" in call.prompt else None)
    async with open_mirror(context=context(), max_thinking=2) as mirror:
        for thread in range(6):
            await mirror.conversation(str(thread), user_id="ana").say(f"Ana says {thread}")
        await asyncio.sleep(0.1)
        bo = mirror.conversation("t", user_id="bo")
        await bo.say("Bo says hello")
        assert await bo.settle(timeout=30)
        let_go.set()


async def test_leaving_may_wait_for_what_is_being_thought(endpoint: Endpoint, replies: Replies, tmp_path: Path) -> None:
    replies.by_component["goals"] = Answer("slow", delay=0.4)
    for thread, drain, turn in (("cut", 0.0, 0), ("drained", 5.0, 1)):
        async with open_mirror(tmp_path / "mirror.db", context=context(think_after=60), drain=drain) as mirror:
            await mirror.conversation(thread).say("hello")
        async with open_mirror(tmp_path / "mirror.db", context=context()) as mirror:
            assert (await mirror.conversation(thread).mind()).turn == turn


@pytest.mark.slow
async def test_sigterm_leaves_cleanly_and_what_was_cut_is_thought_later(
    endpoint: Endpoint, replies: Replies, tmp_path: Path
) -> None:
    replies.by_component["goals"] = Answer("slow", delay=30)
    program = dedent(f"""
        import asyncio
        from mirror_graph import MirrorContext, open_mirror

        async def main():
            context = MirrorContext(talker_model="openai:test", think_after=0)
            async with open_mirror({str(tmp_path / "mirror.db")!r}, context=context) as mirror:
                print((await mirror.conversation("t").say("hello")).text, flush=True)
                await asyncio.sleep(60)

        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"I hear you.\n"
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, errors = await process.communicate()
    assert b"CancelledError" in errors
    replies.by_component["goals"] = "quick"
    async with open_mirror(tmp_path / "mirror.db", context=context()) as mirror:
        conversation = mirror.conversation("t")
        async with asyncio.timeout(2):  # no lease was left behind
            assert (await conversation.say("again")).turn == 2
        assert await conversation.settle(timeout=100)


async def test_the_last_narratives_are_stored(endpoint: Endpoint, replies: Replies, database: str | None) -> None:
    async with open_mirror(database, context=context(thinking="synthesis_only")) as mirror:
        conversation = mirror.conversation("t")
        for turn in range(1, 24):
            replies.by_component["synthesis"] = f"Account {turn}."
            await conversation.say(f"message {turn}")
            await conversation.settle(timeout=100)
        history = await conversation.history()
        assert [(narrative["turn"], narrative["text"]) for narrative in history] == [
            (turn, f"Account {turn}.") for turn in range(4, 24)
        ]
        await conversation.forget()
        assert await conversation.history() == []


async def test_a_thread_does_not_grow(database: str | None) -> None:
    from mirror_graph.models import register_script

    register_script("fine", lambda messages: "Fine.")
    async with open_storage(database) as storage:
        engine = HostRuntime(storage, max_thinking=8, daily_tokens=None)
        conversation = Conversation(
            engine, "7b1e7a9e-3f0c-4b8e-9d0a-333333333333", context(talker_model="scripted:fine")
        )
        for turn in range(12):
            await conversation.say(f"message {turn}")
            await conversation.settle()
        await engine.close()
        for thread_id in (conversation.thread_id, mind_thread(conversation.thread_id)):
            checkpoints = [
                checkpoint async for checkpoint in storage.saver.alist({"configurable": {"thread_id": thread_id}})
            ]
            assert len(checkpoints) == 1
        assert len(await storage.threads()) == 2
        assert len(await conversation.messages()) == 24


class ForgetfulLane:
    """A lane whose database is away."""

    async def recall(self, thread_id: str, owner: Any = None, branch: Any = ()) -> Any:
        raise OSError("XYZZY the database is away")

    async def narratives(self, thread_id: str, owner: Any = None) -> Any:
        raise OSError("XYZZY the database is away")

    async def schedule(self, work: Any) -> None:
        raise OSError("XYZZY the database is away")


async def test_a_mind_that_cannot_be_read_or_handed_over_costs_no_reply(endpoint: Endpoint) -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    from mirror_graph import build_talker

    graph = build_talker(ForgetfulLane()).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "7b1e7a9e-3f0c-4b8e-9d0a-444444444444"}}
    said: Any = {"messages": [("user", "hello")]}
    state = await graph.ainvoke(said, config, context=context())
    assert state["messages"][-1].text == "I hear you."
    assert {name: failure["count"] for name, failure in state["failures"].items()} == {"recall": 1, "schedule": 1}
    assert "XYZZY" not in repr(state)
