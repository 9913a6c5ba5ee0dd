"""What every scheduler promises, each promise written once and held against all of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.drivers import Driver, DriverOpener, SchedulerName
from tests.server import ServerFixture, until

pytestmark = pytest.mark.enable_socket

BACKGROUND: tuple[SchedulerName, ...] = ("local", "store", "server")
"""The schedulers that think in the background. What holds for `inline` instead stands below each of their promises."""


async def test_a_new_turn_is_answered_at_once_and_takes_over_what_was_being_thought(background: DriverOpener) -> None:
    driver = await background()
    driver.replies.by_component["goals"] = [Answer("Unsaid.", hold=threading.Event()), "A dinner."]

    await driver.say("first")
    await until(lambda: driver.prompts_of("goals"))
    reply = await driver.say("second")  # although the thought about the first never comes

    assert reply == {"turn": 2, "narrative_turn": 0, "lag": 1}
    mind = await driver.thought(2)
    assert "Unsaid." not in str(mind)
    assert len(driver.prompts_of("synthesis")) == 1
    assert '"first"' in driver.prompts_of("goals")[-1]
    assert '"second"' in driver.prompts_of("goals")[-1]


async def test_inline_a_turn_that_is_cut_off_is_taken_over_by_the_next(inline: DriverOpener) -> None:
    driver = await inline()
    driver.replies.by_component["goals"] = [Answer("Unsaid.", hold=threading.Event()), "A dinner."]

    cut = asyncio.create_task(driver.say("first"))
    await until(lambda: driver.prompts_of("goals"))
    cut.cancel()
    with suppress(asyncio.CancelledError):
        await cut
    assert (await driver.mind())["turn"] == 0
    await driver.say("second")

    assert "Unsaid." not in str(await driver.thought(2))
    assert len(driver.prompts_of("synthesis")) == 1
    assert '"first"' in driver.prompts_of("goals")[-1]


async def test_a_burst_costs_one_pass_about_all_of_it(background: DriverOpener) -> None:
    driver = await background(pause=True, max_lag=100)

    await asyncio.gather(*(driver.say(words) for words in ("one", "two", "three")))
    assert driver.prompts_of("goals") == []
    await driver.thought(3)

    [prompt] = driver.prompts_of("goals")
    assert all(f'"{words}"' in prompt for words in ("one", "two", "three"))


async def test_inline_the_pass_is_over_when_the_reply_returns(inline: DriverOpener) -> None:
    driver = await inline(think_after=3_600, max_lag=1)

    for turn in range(1, 4):
        reply = await driver.say(f"message {turn}")
        assert reply == {"turn": turn, "narrative_turn": turn - 1, "lag": 0}
        assert (await driver.mind())["turn"] == turn

    assert len(driver.prompts_of("goals")) == 3


async def test_a_pass_is_left_to_finish_once_the_mind_is_far_behind(background: DriverOpener) -> None:
    driver = await background(max_lag=2)
    far_behind, first_read = threading.Event(), threading.Event()
    driver.replies.by_component["goals"] = [Answer("A party.", hold=far_behind), Answer("A dinner.", hold=first_read)]

    await driver.say("message 1")
    await until(lambda: driver.prompts_of("goals"))
    for turn in (2, 3):
        await driver.say(f"message {turn}")
    far_behind.set()
    first = await driver.thought(1)
    # The second pass waits until the first one's mind has been read.
    first_read.set()
    await driver.thought(3)

    assert "A party." in str(first["thoughts"])
    assert len(driver.prompts_of("goals")) == len(driver.prompts_of("synthesis")) == 2
    assert '"message 1"' not in driver.prompts_of("synthesis")[-1]


async def test_messages_without_a_pause_do_not_put_thinking_off_for_ever(background: DriverOpener) -> None:
    driver = await background(pause=True, max_lag=2)

    turn = 0
    while not driver.prompts_of("goals"):
        turn += 1
        assert turn < 9, "no thinking pass runs"
        await driver.say(f"message {turn}")
        await asyncio.sleep(driver.pause / 5)

    await driver.thought(turn)


async def test_a_mind_changes_all_at_once_and_never_back(everywhere: DriverOpener) -> None:
    driver = await everywhere()
    driver.replies.by_component["synthesis"] = [Answer("I know of the party.", delay=0.5), "I know of the dinner too."]

    saying = asyncio.create_task(driver.say("first"))
    mind = await driver.thought(1)
    await saying
    reply = await driver.say("second")
    newest = await driver.thought(2)
    await driver.think_again(1)

    assert driver.reads_while_thinking > 0
    assert {thought["thinker"] for thought in mind["thoughts"]} == {"goals", "reasoning", "memory"}
    assert reply == {"turn": 2, "narrative_turn": 1, "lag": 0}
    assert "I know of the party." in driver.prompts_of("talker")[1]
    assert await driver.mind() == newest
    assert len(driver.prompts_of("goals")) == 2


async def test_a_pass_that_fails_leaves_the_last_mind_and_the_next_catches_up(everywhere: DriverOpener) -> None:
    async def converse(driver: Driver, *failing: str) -> None:
        fine = dict(driver.replies.by_component)
        await driver.say("one")
        before = await driver.thought(1)

        driver.replies.by_component.update(dict.fromkeys(failing, Answer(status=400, error="no such luck")))
        await driver.say("two")
        failed = await driver.changed(lambda mind: set(mind["failures"]) == set(failing))
        assert {**failed, "failures": {}, "usage": {}} == {**before, "usage": {}}
        assert "no such luck" not in str(failed)

        driver.replies.by_component.update(fine)
        reply = await driver.say("three")
        assert reply == {"turn": 3, "narrative_turn": 1, "lag": 1}
        await driver.thought(3)
        for words, counted in (("one", False), ("two", True), ("three", True)):
            said_since = driver.prompts_of("goals")[-1].rpartition('"one"')[2]
            assert (f'"{words}"' in said_since) == counted

    await asyncio.gather(
        converse(await everywhere(), "goals", "reasoning", "memory"), converse(await everywhere(), "synthesis")
    )


# On a server these take seconds each. The promises that `everywhere` holds are tested on one by default.
@pytest.fixture(params=("local", "store", pytest.param("server", marks=pytest.mark.slow)))
async def background(request: pytest.FixtureRequest, opened: Callable[[SchedulerName], DriverOpener]) -> DriverOpener:
    return opened(request.param)


@pytest.fixture(params=(*BACKGROUND, "inline"))
async def everywhere(request: pytest.FixtureRequest, opened: Callable[[SchedulerName], DriverOpener]) -> DriverOpener:
    return opened(request.param)


@pytest.fixture
async def inline(opened: Callable[[SchedulerName], DriverOpener]) -> DriverOpener:
    return opened("inline")


@pytest.fixture
async def opened(
    request: pytest.FixtureRequest, provider: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[SchedulerName], DriverOpener]]:
    """Open conversations over any scheduler, and close what they stand on."""
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    async with AsyncExitStack() as stack:

        def open_driver(name: SchedulerName) -> DriverOpener:
            server = ServerFixture(request.getfixturevalue("langgraph_server") if name == "server" else "", provider)
            stack.push_async_callback(server.close)
            return DriverOpener(name, server, tmp_path, stack)

        yield open_driver
