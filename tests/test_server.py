"""The three graphs on a real `langgraph dev`, as its clients see them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph import ConfigurationError, build_talker
from mirror_graph.benchmarks.endpoint import Answer, Endpoint
from mirror_graph.lanes import mind_thread
from tests.server import Chat, Graph, Stage, langgraph_dev
from tests.voices import asked

pytestmark = pytest.mark.enable_socket

NARRATIVE = "I know that they are allergic to peanuts."
SLOW = 3.0
THINKERS = ("goals", "reasoning", "memory")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Endpoint]]:
    with Endpoint() as endpoint:
        env = {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "none"}
        with langgraph_dev(tmp_path_factory.mktemp("server"), env) as url:
            yield url, endpoint


@pytest.fixture
async def stage(running: tuple[str, Endpoint]) -> AsyncIterator[Stage]:
    stage = Stage(*running)
    yield stage
    await stage.close()


async def until(happens: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def passes_begun(chat: Chat) -> int:
    return len(asked(chat.calls, "goals"))


async def test_the_server_serves_three_graphs(stage: Stage) -> None:
    assistants = await stage.chat().client.assistants.search()

    assert {assistant["graph_id"] for assistant in assistants} == {"mirror", "talker", "thinker"}


async def test_a_turn_in_one_run_leaves_a_narrative_for_the_next(stage: Stage) -> None:
    chat = stage.chat("mirror")

    await chat.say("I am allergic to peanuts.")
    reply = await chat.say("What shall we cook?")

    assert reply["content"] == "I hear you."
    assert reply["response_metadata"]["mirror"] == {"turn": 2, "narrative_turn": 1, "lag": 0}
    first, second = asked(chat.calls, "talker")
    assert NARRATIVE not in first
    assert NARRATIVE in second


async def test_a_reply_starts_from_what_was_thought_since_the_last(stage: Stage) -> None:
    chat = stage.chat()

    await chat.say("I am allergic to peanuts.")
    await chat.settle()
    reply = await chat.say("What shall we cook?")

    assert reply["response_metadata"]["mirror"] == {"turn": 2, "narrative_turn": 1, "lag": 0}
    assert NARRATIVE in asked(chat.calls, "talker")[1]


async def test_a_mind_has_a_thread_of_its_own_that_keeps_no_messages(stage: Stage) -> None:
    chat = stage.chat()

    await chat.say("I am allergic to peanuts.")
    await chat.settle()

    mind = await chat.mind()
    assert mind["narrative"] == {"turn": 1, "text": NARRATIVE}
    assert {thought["thinker"] for thought in mind["thoughts"]} == set(THINKERS)
    assert mind["messages"] == []
    assert [message["type"] for message in (await chat.state())["messages"]] == ["human", "ai"]


@pytest.mark.parametrize("graph", ["mirror", "talker"])
async def test_only_the_talker_is_heard(stage: Stage, graph: Graph) -> None:
    chat = stage.chat(graph)

    pieces = [data async for event, data in chat.stream("I am allergic to peanuts.") if event == "messages"]

    assert {metadata["langgraph_node"] for _, metadata in pieces} == {"talker"}
    assert "".join(piece["content"] for piece, _ in pieces) == "I hear you."


async def test_the_stream_closes_with_the_reply_and_the_next_one_never_waits(stage: Stage) -> None:
    chat = stage.chat()
    chat.voices.said["goals"] = Answer("A dinner.", delay=SLOW)

    last_token = 0.0
    async for event, data in chat.stream("I am allergic to peanuts."):
        if event == "messages" and data[0]["content"]:
            last_token = time.monotonic()
    closed = time.monotonic()
    await until(lambda: passes_begun(chat))
    thinking_since = time.monotonic()
    await chat.say("What shall we cook?")
    replied = time.monotonic()

    assert closed - last_token < 0.5
    assert replied - thinking_since < SLOW - 0.5


async def test_a_newer_turn_takes_over_the_pass_of_the_last_and_nothing_of_it_is_thought(stage: Stage) -> None:
    chat = stage.chat()
    chat.voices.said["goals"] = [Answer("Unsaid.", delay=SLOW), "A dinner."]

    await chat.say("I am allergic to peanuts.")
    await until(lambda: passes_begun(chat))
    await chat.say("What shall we cook?")
    await chat.settle()

    assert await chat.passes() == ["success"]
    assert len(asked(chat.calls, "synthesis")) == 1
    assert "I am allergic to peanuts." in asked(chat.calls, "goals")[-1]
    assert [mind["narrative"]["turn"] for mind in await chat.minds() if mind["turn"]] == [2]
    assert (await chat.mind())["messages"] == []


async def test_a_burst_of_messages_costs_one_pass(stage: Stage) -> None:
    chat = stage.chat(think_after=2)

    await asyncio.gather(*(chat.say(text) for text in ("I am allergic", "to peanuts", "and to cats.")))
    await chat.settle()

    assert await chat.passes() == ["success"]
    assert len(asked(chat.calls, "synthesis")) == 1
    assert (await chat.mind())["turn"] == 3


async def test_a_pass_is_left_to_finish_once_the_mind_is_far_behind(stage: Stage) -> None:
    chat = stage.chat(max_lag=2)
    chat.voices.said["goals"] = [Answer("A party.", delay=SLOW), "A dinner."]

    await chat.say("I am allergic to peanuts.")
    await until(lambda: passes_begun(chat))
    for text in ("What shall we cook?", "And for dessert?"):
        await chat.say(text)
    await chat.settle()

    assert await chat.passes() == ["success", "success"]
    assert passes_begun(chat) == 2
    assert (await chat.mind())["narrative"]["turn"] == 3


async def test_a_failing_pass_costs_neither_a_reply_nor_the_last_narrative(stage: Stage) -> None:
    async def converse(chat: Chat, *failing: str) -> None:
        await chat.say("I am allergic to peanuts.")
        await chat.settle()

        chat.voices.said.update(dict.fromkeys(failing, Answer(status=400, error="no such luck")))
        await chat.say("What shall we cook?")
        await chat.settle()
        reply = await chat.say("And for dessert?")

        assert reply["response_metadata"]["mirror"] == {"turn": 3, "narrative_turn": 1, "lag": 1}
        mind = await chat.mind()
        assert mind["narrative"] == {"turn": 1, "text": NARRATIVE}
        assert set(mind["failures"]) == set(failing)
        assert mind["messages"] == []
        assert "no such luck" not in str(mind)

    await asyncio.gather(converse(stage.chat(), *THINKERS), converse(stage.chat(), "synthesis"))


async def test_the_context_is_json(stage: Stage) -> None:
    chat = stage.chat(thinking="joint", thinkers=["goals", "sleep: how rested they are"])
    chat.voices.said["joint"] = '{"goals": "A dinner.", "sleep": "They are tired."}'

    await chat.say("I am allergic to peanuts.")
    await chat.settle()

    assert "how rested they are" in asked(chat.calls, "joint")[0]
    assert {thought["thinker"] for thought in (await chat.mind())["thoughts"]} == {"goals", "sleep"}


async def test_a_wrong_context_fails_by_name_before_a_word_is_asked(stage: Stage) -> None:
    wrong: list[dict[str, Any]] = [{"thinking": "jont"}, {"thinkers": ["gaols"]}, {"window_tokens": 1}]
    chats = [stage.chat(**context) for context in wrong]

    errors = await asyncio.gather(*(chat.say("Hello") for chat in chats), return_exceptions=True)

    assert ["ConfigurationError" in str(error) for error in errors] == [True, True, True]
    assert [chat.calls for chat in chats] == [[], [], []]


async def test_a_mind_belongs_to_whose_conversation_it_is(tmp_path: Any) -> None:
    (tmp_path / "auth.py").write_text(AUTH)
    with Endpoint() as endpoint:
        env = {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "none"}
        with langgraph_dev(tmp_path, env, auth={"path": f"{tmp_path}/auth.py:auth"}) as url:
            stage = Stage(url, endpoint)
            chat = stage.chat(headers={"x-name": "ana"})
            stranger = stage.chat(headers={"x-name": "bob"}).client

            await chat.say("I am allergic to peanuts.")
            await chat.settle()
            reply = await chat.say("What shall we cook?")

            assert reply["response_metadata"]["mirror"]["narrative_turn"] == 1
            mind = await chat.client.threads.get(mind_thread(chat.thread_id))
            assert mind["metadata"]["owner"] == "ana"  # type: ignore[index]
            with pytest.raises(Exception, match="not found"):
                await stranger.threads.get_state(mind_thread(chat.thread_id))
            await stage.close()


AUTH = """
from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def authenticate(headers):
    return headers[b"x-name"].decode()


@auth.on
async def own(ctx, value):
    value.setdefault("metadata", {})["owner"] = ctx.user.identity
    return {"owner": ctx.user.identity}
"""


async def test_without_a_server_the_talker_asks_for_a_lane() -> None:
    talker = build_talker().compile(checkpointer=InMemorySaver())

    with pytest.raises(ConfigurationError, match="lane"):
        await talker.ainvoke(
            {"messages": [HumanMessage("Hello")]},
            {"configurable": {"thread_id": "00000000-0000-0000-0000-000000000000"}},
        )
