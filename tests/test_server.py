"""The graphs on a real `langgraph dev`, as its clients see them."""

import asyncio
import json
import threading
import time
from typing import Any, cast

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_sdk.errors import NotFoundError

from mirror_graph import ConfigurationError, build_talker
from mirror_graph.cli.remote import ServerError, forget_on_server
from mirror_graph.encryption import VARIABLE, new_key
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import prompts_of
from tests.server import ServerFixture, serving, until

pytestmark = pytest.mark.enable_socket

NARRATIVE = "I know that they are allergic to peanuts."


async def test_the_server_serves_the_graphs_of_its_configuration(server: ServerFixture) -> None:
    assistants = await server.chat().client.assistants.search()

    assert {assistant["graph_id"] for assistant in assistants} == {
        "agent",
        "forget",
        "mirror",
        "recommend",
        "talker",
        "thinker",
        "in_store",
    }


async def test_a_recommendation_is_a_turn_whose_candidates_are_stored_nowhere(server: ServerFixture) -> None:
    chat = server.chat("recommend")
    dishes = [
        {"title": "Satay", "about": "Chicken with peanut sauce.", "met": "eaten"},
        {"title": "Dal", "about": "Red lentils.", "met": "eaten", "why": "It is warm."},
    ]
    chat.replies.by_component["propose"] = json.dumps({"items": dishes})
    turn = chat._turn("I'm allergic to peanuts. What could I cook?")
    turn["input"]["k"] = 1
    values: Any = await chat.client.runs.wait(chat.thread_id, "recommend", **turn)
    state = await chat.client.threads.get_state(chat.thread_id)

    assert [item["title"] for item in values["items"]] == ["Dal"]
    assert values["messages"][-1]["content"] == "1. Dal: It is warm."
    assert "Satay" not in json.dumps([values, state])
    await chat.settle()
    assert (await chat.mind())["turn"] == 1

    turn["input"]["k"] = 0
    refused: Any = await chat.client.runs.wait(chat.thread_id, "recommend", raise_error=False, **turn)
    assert "expected a whole number of items from 1 to 50" in str(refused)


async def test_a_turn_in_one_run_leaves_a_narrative_for_the_next(server: ServerFixture) -> None:
    chat = server.chat("mirror")

    await chat.say("I am allergic to peanuts.")
    reply = await chat.say("What shall we talk about now?")

    assert reply["content"] == "I hear you."
    assert reply["response_metadata"]["mirror"] == {
        "turn": 2,
        "narrative_turn": 1,
        "lag": 0,
        "finish_reason": "stop",
    }
    first, second = prompts_of(chat.calls, "talker")
    assert NARRATIVE not in first
    assert NARRATIVE in second


async def test_a_mind_has_a_thread_of_its_own_that_keeps_no_messages(server: ServerFixture) -> None:
    chat = server.chat()

    await chat.say("I am allergic to peanuts.")
    await chat.settle()

    mind = await chat.mind()
    assert (mind["narrative"]["turn"], mind["narrative"]["text"]) == (1, NARRATIVE)
    assert {thought["thinker"] for thought in mind["thoughts"]} == {"goals", "reasoning", "memory"}
    assert mind["messages"] == []
    assert [message["type"] for message in (await chat.state())["messages"]] == ["human", "ai"]


@pytest.mark.parametrize("graph", ["mirror", "talker"])
async def test_only_the_talker_is_streamed(server: ServerFixture, graph: str) -> None:
    chat = server.chat(graph)

    pieces = [data async for event, data in chat.stream("I am allergic to peanuts.") if event == "messages"]

    assert {metadata["langgraph_node"] for _, metadata in pieces} == {"talker"}
    assert "".join(piece["content"] for piece, _ in pieces) == "I hear you."


async def test_the_stream_closes_with_the_reply(server: ServerFixture) -> None:
    chat = server.chat()
    chat.replies.by_component["goals"] = Answer("A dinner.", delay=20)

    last_token = 0.0
    async for event, data in chat.stream("I am allergic to peanuts."):
        if event == "messages" and data[0]["content"]:
            last_token = time.monotonic()

    assert time.monotonic() - last_token < 10  # and not the 20 seconds of the thought


async def test_a_talker_that_needs_only_a_store_makes_no_run_for_its_thoughts(server: ServerFixture) -> None:
    chat = server.chat("in_store", think_after=1.5)

    for text in ("I am allergic to peanuts.", "What shall we cook?"):
        await chat.say(text)
    await until(lambda: prompts_of(chat.calls, "synthesis"))
    [prompt] = prompts_of(chat.calls, "goals")
    reply = await chat.say("And for dessert?")

    assert "I am allergic to peanuts." in prompt
    assert reply["response_metadata"]["mirror"]["narrative_turn"] == 2
    with pytest.raises(NotFoundError):
        await chat.passes()


async def test_the_context_is_json(server: ServerFixture) -> None:
    chat = server.chat(thinking="joint", thinkers=["goals", "sleep: how rested they are"])
    chat.replies.by_component["joint"] = '{"goals": "A dinner.", "sleep": "They are tired."}'

    await chat.say("I am allergic to peanuts.")
    await chat.settle()

    assert "how rested they are" in prompts_of(chat.calls, "joint")[0]
    assert {thought["thinker"] for thought in (await chat.mind())["thoughts"]} == {"goals", "sleep"}


async def test_a_wrong_context_fails_by_name_before_a_word_is_asked(server: ServerFixture) -> None:
    wrong: list[dict[str, Any]] = [{"thinking": "jont"}, {"thinkers": ["gaols"]}, {"window_tokens": 1}]
    chats = [server.chat(**context) for context in wrong]

    errors = await asyncio.gather(*(chat.say("Hello") for chat in chats), return_exceptions=True)

    assert ["ConfigurationError" in str(error) for error in errors] == [True, True, True]
    assert [chat.calls for chat in chats] == [[], [], []]


@pytest.mark.slow
async def test_a_mind_belongs_to_whose_conversation_it_is(tmp_path: Any) -> None:
    (tmp_path / "auth.py").write_text(AUTH)
    with Endpoint() as endpoint, serving(endpoint, auth={"path": f"{tmp_path}/auth.py:auth"}) as url:
        server = ServerFixture(url, endpoint)
        chat = server.chat(headers={"x-name": "ana"}, owner="ana")
        stranger = server.chat(headers={"x-name": "bob"}).client

        await chat.say("I am allergic to peanuts.")
        await chat.settle()
        reply = await chat.say("What shall we cook?")

        assert reply["response_metadata"]["mirror"]["narrative_turn"] == 1
        mind = await chat.client.threads.get(chat.mind_thread)
        assert mind["metadata"]["owner"] == "ana"  # type: ignore[index]
        with pytest.raises(Exception, match="not found"):
            await stranger.threads.get_state(chat.mind_thread)
        await server.close()


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

    with pytest.raises(ConfigurationError, match="pass a scheduler"):
        await talker.ainvoke(
            {"messages": [HumanMessage("Hello")]},
            {"configurable": {"thread_id": "00000000-0000-0000-0000-000000000000"}},
        )


async def test_a_message_that_is_edited_from_an_earlier_checkpoint_counts(server: ServerFixture) -> None:
    chat = server.chat(relevance="talker")
    for turn in range(4):
        await chat.send([{"role": "user", "content": f"Message {turn}.", "id": f"m{turn}"}])
    await chat.settle()
    states = await chat.client.threads.get_history(chat.thread_id, limit=50)
    ends = [
        state for state in reversed(states) if not state["next"] and len(cast("Any", state["values"])["messages"]) == 2
    ]

    edited = {"role": "user", "content": "I'm allergic to sesame.", "id": "m1"}
    reply = await chat.send([edited], ends[-1]["checkpoint"])
    await chat.settle()
    await chat.say("What is the weather like?")
    await chat.settle()
    last = await chat.say("Pad thai with sesame?")

    assert all("sesame" in prompt for prompt in prompts_of(chat.calls, "talker")[-3:])
    assert "Message 2." not in prompts_of(chat.calls, "talker")[-1]
    assert 0 <= reply["response_metadata"]["mirror"]["lag"] <= 1  # a pass about all four turns is given up whole
    assert last["response_metadata"]["mirror"]["lag"] == 0
    assert [entry["about"] for entry in (await chat.mind())["constraints"]] == ["sesame"]


async def test_a_transcript_without_ids_is_answered_once(server: ServerFixture) -> None:
    chat = server.chat(relevance="talker")
    transcript: list[dict[str, Any]] = []
    for turn in range(4):
        fact = " I'm allergic to kiwi." if turn == 1 else ""
        transcript.append({"role": "user", "content": f"Message {turn}.{fact}"})
        reply = await chat.send(transcript)
        transcript.append({"role": "assistant", "content": reply["content"]})
        assert reply["response_metadata"]["mirror"]["turn"] == turn + 1

    prompt = prompts_of(chat.calls, "talker")[-1]
    assert [prompt.count(f"Message {turn}.") for turn in range(4)] == [1, 1, 1, 1]
    assert "allergic to kiwi" in prompt


async def test_an_agent_has_its_mind_for_twelve_turns(server: ServerFixture) -> None:
    chat = server.chat("agent")
    chat.replies.by_component["talker"] = lambda call: (
        "How about satay?" if "Thai place" in call.prompt else "I hear you."
    )
    turns = ["Hello!", "I am severely allergic to peanuts.", *(f"Week {week} was quiet." for week in range(9))]

    for text in turns:
        await chat.say(text)
    await chat.stored(len(turns))
    reply = await chat.say("Recommend a dish for the Thai place tonight.")

    assert "you told me \u201cI am severely allergic to peanuts\u201d" in reply["content"]
    mark = reply["response_metadata"]["mirror"]
    assert (mark["turn"], mark["narrative_turn"], mark["lag"]) == (12, 11, 0)
    assert [guarded["place"] for guarded in mark["guarded"]] == ["note"]
    assert 'They said: "I am severely allergic to peanuts."' in prompts_of(chat.calls, "talker")[-1]
    assert set(await chat.state()) == {"messages", "mirror"}


async def test_only_the_agent_is_streamed(server: ServerFixture) -> None:
    chat = server.chat("agent")

    pieces = [data async for event, data in chat.stream("I am allergic to peanuts.") if event == "messages"]

    assert "".join(piece["content"] for piece, _ in pieces if piece["type"] == "AIMessageChunk") == "I hear you."


@pytest.mark.slow
async def test_on_a_server_with_one_worker_no_reply_waits_for_anothers_thought() -> None:
    let_go = threading.Event()
    with Endpoint() as endpoint, serving(endpoint, jobs=None) as url:
        server = ServerFixture(url, endpoint)
        ana, bob = server.chat(), server.chat()
        for thinker_name in ("goals", "reasoning", "memory"):
            ana.replies.by_component[thinker_name] = Answer("They like to cook.", hold=let_go)

        await ana.say("I am allergic to peanuts.")
        await until(lambda: prompts_of(ana.calls, "goals"))  # and it is held
        reply = await bob.say("Hello.")
        assert reply["content"] == "I hear you."
        let_go.set()
        await until(lambda: prompts_of(ana.calls, "synthesis"))
        await ana.stored(1)

        again = await ana.say("What shall we cook?")
        assert again["response_metadata"]["mirror"]["narrative_turn"] == 1
        await server.close()


async def test_a_client_has_a_mind_erased_while_a_pass_is_under_way(server: ServerFixture) -> None:
    chat = server.chat()
    await chat.say("I am allergic to peanuts.")
    await chat.settle()
    assert (await chat.mind())["turn"] == 1
    hold = threading.Event()
    chat.replies.by_component["synthesis"] = Answer(NARRATIVE, hold=hold)
    await chat.say("What shall we cook?")
    await until(lambda: len(prompts_of(chat.calls, "synthesis")) == 2)

    await asyncio.to_thread(forget_on_server, server.url, chat.thread_id, token=None, user=None)
    hold.set()

    for gone in (chat.thread_id, chat.mind_thread):
        with pytest.raises(NotFoundError):
            await chat.client.threads.get(gone)
    reply = await chat.say("What shall we cook?")
    assert reply["response_metadata"]["mirror"] == {"turn": 1, "narrative_turn": 0, "lag": 0, "finish_reason": "stop"}
    # Once more, although there is nothing left: whoever asks twice gets no error.
    await asyncio.to_thread(forget_on_server, server.url, chat.thread_id, token=None, user=None)
    with pytest.raises(NotFoundError):
        await chat.client.threads.get(chat.thread_id)


@pytest.mark.slow
async def test_a_server_that_cannot_forget_says_why(server: ServerFixture) -> None:
    run = server.chat().client.runs.wait
    with pytest.raises(Exception, match="nothing to forget"):
        await run(None, "forget", input={})
    with pytest.raises(Exception, match="there is no user"):
        await run(None, "forget", input={"user": True})
    with pytest.raises(ServerError, match="could not forget"):
        await asyncio.to_thread(forget_on_server, "http://127.0.0.1:9", "thread", token=None, user=None)


@pytest.mark.slow
async def test_a_servers_store_holds_no_word_of_a_user_if_there_is_a_key() -> None:
    with Endpoint() as endpoint, serving(endpoint, extra_env={VARIABLE: new_key()}) as url:
        server = ServerFixture(url, endpoint)
        first, second = server.chat(user_id="ana"), server.chat(user_id="ana")
        await first.say("I am allergic to quandongs.")
        await first.settle()
        await second.say("What shall we cook?")

        found = (await first.client.store.search_items(("mirror",), limit=100))["items"]
        assert found
        assert all(item["value"].keys() == {"sealed"} for item in found)
        assert "quandongs" in prompts_of(second.calls, "talker")[0]
        await second.client.runs.wait(None, "forget", input={"user": True}, context={"user_id": "ana"})
        assert (await first.client.store.search_items(("mirror",), limit=100))["items"] == []
        await server.close()
