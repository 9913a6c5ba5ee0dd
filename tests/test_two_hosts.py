"""Two hosts on one PostgreSQL database and one thread, in any interleaving: no update is lost, no turn told twice."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mirror_graph import Conversation, Mirror, MirrorContext, open_mirror
from mirror_graph.host.runtime import HostRuntime
from mirror_graph.storage import leases
from mirror_graph.storage import postgres as postgres_storage
from mirror_graph.storage.records import LEASE_SECONDS
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.crashing import CONTEXT
from tests.replies import Replies, prompts_of

SEED = 20261121


def set_leases(seconds: float) -> None:
    """Let leases last so long."""
    for module in (leases, postgres_storage):
        vars(module)["LEASE_SECONDS"] = seconds


class Host:
    """A host that can be killed: its connections are cut, its tasks end, its leases stay until they run out."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = AsyncExitStack()
        self.tasks: list[asyncio.Task[Any]] = []

    async def open(self) -> None:
        """Start the host."""
        self.mirror: Mirror = await self._stack.enter_async_context(open_mirror(self._url, context=CONTEXT))

    async def crash(self) -> None:
        """Cut everything off at once."""
        engine: HostRuntime = self.mirror._engine
        await engine.storage.saver.conn.close(timeout=0)  # type: ignore[attr-defined]  # the pool
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        with suppress(Exception):
            await self._stack.aclose()
        self._stack = AsyncExitStack()
        self.tasks = []

    async def close(self) -> None:
        """Leave in good order."""
        await self._stack.aclose()


class TwoHosts(RuleBasedStateMachine):
    """Says, thoughts, cancellations and crashes on one thread, from two hosts, in any order."""

    url = ""
    threads = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        TwoHosts.threads += 1
        self.thread = f"thread {TwoHosts.threads}"
        self.loop = asyncio.new_event_loop()
        self.hosts = [Host(self.url), Host(self.url)]
        self.said = 0
        self.answered: dict[int, int] = {}
        self.seen_turn = 0

    @initialize()
    def open(self) -> None:
        """Start both hosts, with leases that a crash does not hold up for long."""
        set_leases(0.3)
        for host in self.hosts:
            self.run(host.open())

    @rule(host=st.integers(0, 1))
    def say(self, host: int) -> None:
        """Start to say the next message."""
        self.said += 1
        self.start(host, self.say_it(self.conversation(host), self.said))

    @rule(host=st.integers(0, 1))
    def think(self, host: int) -> None:
        """Start to think about what there is."""
        self.start(host, self.conversation(host).settle(timeout=100))

    @rule(host=st.integers(0, 1), which=st.integers(0, 50))
    def cancel(self, host: int, which: int) -> None:
        """Cancel something that runs."""
        running = [task for task in self.hosts[host].tasks if not task.done()]
        if running:
            running[which % len(running)].cancel()

    @rule(milliseconds=st.integers(0, 30))
    def wait(self, milliseconds: int) -> None:
        """Let things run for a while."""
        self.run(asyncio.sleep(milliseconds / 1_000))

    @rule(host=st.integers(0, 1))
    @precondition(lambda self: self.said)
    def crash(self, host: int) -> None:
        """Kill a host in the middle of whatever it does, and start it again."""
        self.run(self.hosts[host].crash())
        self.run(self.hosts[host].open())

    @invariant()
    def no_narrative_is_replaced_by_an_older_one(self) -> None:
        """Look at the stored mind after every step."""
        TwoHosts.steps += 1
        if not hasattr(self.hosts[0], "mirror"):
            return
        mind = self.run(self.conversation(0).mind())
        assert mind.turn >= self.seen_turn
        self.seen_turn = mind.turn

    def teardown(self) -> None:
        """Let everything end, then hold that all of it is there."""
        if hasattr(self.hosts[1], "mirror"):
            self.run(self.check())
        for host in self.hosts:
            self.run(host.close())
        self.loop.close()

    async def check(self) -> None:
        """Compare what was answered with what is stored."""
        for host in self.hosts:
            await asyncio.gather(*host.tasks, return_exceptions=True)
        set_leases(LEASE_SECONDS)  # what follows must not fail because the machine is busy
        conversation = self.conversation(0)
        messages = await conversation.messages()
        replies = {
            message.response_metadata["mirror"]["turn"]: message.text for message in messages if message.type == "ai"
        }
        assert list(replies) == list(range(1, len(replies) + 1))
        for number, turn in self.answered.items():
            assert replies[turn] == f"reply {number}"
        texts = [message.text for message in messages if message.type == "human"]
        assert len(texts) == len(set(texts))
        assert {f"message {number}" for number in self.answered} <= set(texts)
        if messages:
            await conversation.say("message 9999")
            assert await conversation.settle(timeout=100)
            assert (await conversation.mind()).turn == len(replies) + 1

    async def say_it(self, conversation: Conversation, number: int) -> None:
        """Say a message, and remember the turn it was answered in."""
        reply = await conversation.say(f"message {number}")
        self.answered[number] = reply.turn

    def conversation(self, host: int) -> Conversation:
        """Return a host's side of the thread."""
        return self.hosts[host].mirror.conversation(self.thread)

    def start(self, host: int, work: Coroutine[Any, Any, Any]) -> None:
        """Let something run on a host."""
        self.hosts[host].tasks.append(self.loop.create_task(work))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something to its end, everything else beside it."""
        return self.loop.run_until_complete(work)


def interleave(url: str, examples: int, steps: int) -> None:
    TwoHosts.url, TwoHosts.steps = url, 0
    try:
        machine: Callable[[], Any] = seed(SEED)(TwoHosts)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
                phases=[Phase.generate, Phase.shrink],
            ),
        )
    finally:
        set_leases(LEASE_SECONDS)
    print(f"{TwoHosts.steps} steps, seed {SEED}")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_two_hosts_lose_nothing(postgres: str) -> None:
    interleave(postgres, examples=6, steps=25)


@pytest.mark.slow
@pytest.mark.timeout(1_500)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_two_hosts_lose_nothing_in_10_000_steps(postgres: str) -> None:
    interleave(postgres, examples=int(os.environ.get("MIRROR_INTERLEAVINGS", "220")), steps=50)
    assert TwoHosts.steps > 0


@pytest.mark.parametrize("starts_over", [False, True])
async def test_another_hosts_late_pass_brings_back_nothing_of_a_forgotten_thread(
    endpoint: Endpoint, replies: Replies, postgres: str, starts_over: bool
) -> None:
    replies.by_component["memory"] = [Answer("slow", delay=1), "quick"]
    context = MirrorContext(talker_model="openai:test", think_after=0)
    async with open_mirror(postgres, context=context) as one, open_mirror(postgres, context=context) as other:
        thinking, forgetting = (host.conversation("t", user_id="ana") for host in (one, other))
        await thinking.say("I'm allergic to peanuts.")
        while not prompts_of(endpoint.calls, "memory"):  # noqa: ASYNC110  # the endpoint calls nobody back
            await asyncio.sleep(0.01)
        await forgetting.forget()
        await other.user("ana").forget()
        if starts_over:
            await forgetting.say("Hello!")
            await forgetting.settle(timeout=100)
        await thinking.settle(timeout=100)
        assert prompts_of(endpoint.calls, "synthesis")
        assert await other.user("ana").constraints() == []
        mind = await forgetting.mind()
    assert (mind.turn, mind.lag, mind.constraints) == (int(starts_over), 0, ())
