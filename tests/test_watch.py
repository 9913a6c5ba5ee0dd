"""Watching a mind: each change arrives, thoughts arrive one by one, and a slow reader holds nothing up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from mirror_graph import MindEvent, MirrorContext, open_mirror, open_mirror_sync
from mirror_graph.state import MindState
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0, guard="off")


async def until(events: AsyncIterator[MindEvent], is_expected: Callable[[MindEvent], bool]) -> list[MindEvent]:
    """Read events up to the first that is so."""
    seen: list[MindEvent] = []
    async with asyncio.timeout(100):
        async for event in events:
            seen.append(event)
            if is_expected(event):
                return seen
    raise AssertionError("the watch ended")


def is_mind_after(turn: int) -> Callable[[MindEvent], bool]:
    """Recognise the mind that has read `turn`."""
    return lambda event: event.mind is not None and event.mind.turn == turn and event.mind.lag == 0


async def test_thoughts_arrive_one_by_one_and_then_the_mind(
    endpoint: Endpoint, replies: Replies, database: str | None
) -> None:
    replies.by_component["memory"] = Answer("They are allergic to peanuts.", delay=0.3)
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        async with aclosing(conversation.watch()) as events:
            first = await anext(events)
            assert (first.kind, first.mind) == ("mind", await conversation.mind())
            await conversation.say("I'm allergic to peanuts.")
            seen = await until(events, is_mind_after(1))
        thoughts = [(event.thinker, event.text) for event in seen if event.kind == "thought"]
        assert dict(thoughts) == (await conversation.mind()).thoughts
        assert thoughts[-1][0] == "memory"
        assert seen[-1].mind == await conversation.mind()


async def test_an_edited_constraint_and_a_forgotten_thread_are_seen(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation, user = mirror.conversation("dinner", user_id="ana"), mirror.user("ana")
        await conversation.say("I'm allergic to peanuts.")
        await conversation.settle(timeout=100)
        async with aclosing(conversation.watch()) as events:
            await anext(events)
            [constraint] = await user.constraints()
            await user.edit(constraint["id"], severity="preference")
            edited = (await until(events, lambda event: event.kind == "mind"))[-1]
            assert edited.mind is not None
            assert [entry["severity"] for entry in edited.mind.constraints] == ["preference"]
            await conversation.forget()
            forgotten = (await until(events, lambda event: event.kind == "mind"))[-1]
            assert forgotten.mind is not None
            assert forgotten.mind.narrative == ""


async def test_a_watch_ends_when_the_host_closes(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        watches = [asyncio.create_task(_all(conversation.watch())) for _ in range(3)]
        await asyncio.sleep(0)
        await conversation.say("Hello.")
        await conversation.settle(timeout=100)
    for watch in watches:
        assert is_mind_after(1)((await asyncio.wait_for(watch, 100))[-1])
    assert await _all(conversation.watch()) == []


async def test_a_slow_reader_gets_the_newest_mind_and_holds_nothing_up(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        async with aclosing(conversation.watch()) as events:
            await anext(events)
            for number in range(30):
                await conversation.say(f"Message {number}.")
                await conversation.settle(timeout=100)
            seen = await until(events, is_mind_after(30))
    assert [event.kind for event in seen].count("mind") < 5
    assert len(seen) < 80


async def test_two_hundred_watchers_cost_one_load_per_change(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        watches = [conversation.watch() for _ in range(200)]
        await asyncio.gather(*(anext(events) for events in watches))
        loads = 0
        load = mirror._engine.minds.load

        async def counted(*place: Any) -> MindState:
            nonlocal loads
            loads += 1
            return await load(*place)

        monkeypatch.setattr(mirror._engine.minds, "load", counted)
        await conversation.say("Hello.")
        await asyncio.gather(*(until(events, is_mind_after(1)) for events in watches))
        assert loads < 20
        for events in watches:
            await events.aclose()
        assert not mirror._engine.watchers._watched


def test_a_watch_without_a_loop(endpoint: Endpoint) -> None:
    with open_mirror_sync(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        conversation.say("Hello.")
        conversation.settle(timeout=100)
        for event in conversation.watch():
            assert is_mind_after(1)(event)
            break


async def _all(events: AsyncIterator[MindEvent]) -> list[MindEvent]:
    return [event async for event in events]


@pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
async def test_a_watcher_sees_what_another_host_does(endpoint: Endpoint, database: str) -> None:
    async with open_mirror(database, context=CONTEXT) as here, open_mirror(database, context=CONTEXT) as there:
        watched, speaking = (mirror.conversation("dinner", user_id="ana") for mirror in (here, there))
        async with aclosing(watched.watch()) as events:
            await anext(events)
            await speaking.say("I'm allergic to peanuts.")
            await speaking.settle(timeout=100)
            seen = await until(events, is_mind_after(1))
            if "postgres" in database:
                thoughts = {event.thinker: event.text for event in seen if event.kind == "thought"}
                assert thoughts == (await speaking.mind()).thoughts
            [constraint] = await there.user("ana").constraints()
            await there.user("ana").edit(constraint["id"], severity="preference")
            await until(events, lambda event: event.mind is not None and _severities(event) == {"preference"})
            await there.user("ana").forget(constraint["id"])
            await until(events, lambda event: event.mind is not None and _severities(event) == set())
            await speaking.forget()
            await until(events, lambda event: event.mind is not None and event.mind.narrative == "")


def _severities(event: MindEvent) -> set[str]:
    assert event.mind is not None
    return {entry["severity"] for entry in event.mind.constraints}
