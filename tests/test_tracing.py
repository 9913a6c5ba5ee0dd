"""What LangSmith gets to see of a conversation, at a local server that takes what its client sends."""

import asyncio
import os
import subprocess
import sys
import time
from uuid import uuid4

import pytest
from langgraph_sdk import get_client

from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.langsmith_endpoint import TracedRun, langsmith_endpoint
from tests.replies import Replies, component_of
from tests.server import ServerFixture, serving

pytestmark = pytest.mark.enable_socket

SECRET = "peanuts"
PROGRAM = f"""
import asyncio

from langchain_core.tracers.langchain import wait_for_all_tracers

from mirror_graph import MirrorContext, open_mirror


async def converse():
    context = MirrorContext(talker_model="scripted:echo", think_after=60)  # `settle` ends the wait
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        await conversation.say("I am allergic to {SECRET}.")
        assert await conversation.settle(100)
        await conversation.say("No {SECRET}, please.")
        await conversation.say("Is there {SECRET} in pesto?")
        assert await conversation.settle(100)


asyncio.run(converse())
wait_for_all_tracers()
"""
"""Three turns and two passes, the second over two turns. Every voice repeats what it is told."""


def trace(program: str = PROGRAM, **env: str) -> list[TracedRun]:
    """Run a program in a process of its own: the LangSmith client reads its environment once."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("LANGSMITH_", "LANGCHAIN_"))}
    with langsmith_endpoint() as langsmith:
        traced = {"LANGSMITH_TRACING": "true", "LANGSMITH_ENDPOINT": langsmith.url, "LANGSMITH_API_KEY": "none"}
        subprocess.run(
            [sys.executable, "-W", "error", "-c", program], env={**clean, **traced, **env}, check=True, timeout=200
        )
        return langsmith.runs


@pytest.fixture(scope="module")
def runs() -> list[TracedRun]:
    return trace()


def named(runs: list[TracedRun], name: str) -> list[TracedRun]:
    return [run for run in runs if run.name == name]


def path(run: TracedRun, runs: list[TracedRun]) -> list[str]:
    """Name the runs from the root of the trace down to `run`."""
    parent = next((other for other in runs if other.id == run.parent), None)
    return [*(path(parent, runs) if parent else []), run.name]


def test_a_turn_is_one_trace_from_recall_to_commit(runs: list[TracedRun]) -> None:
    first, *_ = named(runs, "turn")

    paths = {tuple(path(run, runs)) for run in runs if run.trace == first.id}

    thinking = ("turn", "schedule", "thinking")
    thinkers = {(*thinking, name) for name in ("goals", "reasoning", "memory", "synthesis")}
    calls = {("turn", "talker", "talker"), *((*thinker, thinker[-1]) for thinker in thinkers)}
    nodes = {("turn", "recall"), ("turn", "talker"), ("turn", "schedule"), (*thinking, "commit")}
    assert {("turn",), *nodes, thinking, *thinkers, *calls} <= paths
    assert all(run.ended for run in runs)


def test_a_trace_holds_nothing_but_the_turns(runs: list[TracedRun]) -> None:
    assert [run.name for run in runs if run.parent is None] == ["turn", "turn", "turn"]
    assert {run.trace for run in runs} == {turn.id for turn in named(runs, "turn")}


def test_a_pass_over_several_turns_belongs_to_the_newest(runs: list[TracedRun]) -> None:
    first, _, third = named(runs, "turn")

    thinking = named(runs, "thinking")

    assert [run.trace for run in thinking] == [first.id, third.id]
    assert [run.metadata["turn"] for run in thinking] == [1, 3]


def test_every_run_is_listed_with_its_thread(runs: list[TracedRun]) -> None:
    assert len({run.metadata["thread_id"] for run in runs}) == 1


def test_every_model_call_says_its_turn_and_component(runs: list[TracedRun]) -> None:
    calls = [run for run in runs if run.is_model_call]

    said = [(run.metadata["turn"], run.metadata["component"]) for run in calls]

    thinking = ("goals", "reasoning", "memory", "synthesis")
    assert sorted(said) == sorted(
        [(turn, "talker") for turn in (1, 2, 3)] + [(turn, voice) for turn in (1, 3) for voice in thinking]
    )
    assert all(run.name == run.metadata["component"] for run in calls)


def test_only_content_holds_what_the_user_wrote(runs: list[TracedRun]) -> None:
    assert [run.name for run in runs if SECRET in run.labels] == []
    assert all(SECRET in run.content for run in runs if run.is_model_call)


@pytest.mark.slow
def test_what_the_user_wrote_stays_here_if_langsmith_hides_inputs() -> None:
    runs = trace(LANGSMITH_HIDE_INPUTS="true", LANGSMITH_HIDE_OUTPUTS="true")

    assert len(named(runs, "turn")) == 3
    assert [run.name for run in runs if SECRET in run.labels + run.content] == []


ONE_TURN = """
import asyncio

from langchain_core.tracers.langchain import wait_for_all_tracers

from mirror_graph import MirrorContext, open_mirror


async def converse():
    async with open_mirror(context=MirrorContext(talker_model="openai:test", think_after=60)) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        await conversation.say("I am allergic to quandongs.")
        assert await conversation.settle(100)


asyncio.run(converse())
wait_for_all_tracers()
"""


@pytest.mark.slow
def test_a_model_call_is_one_run_with_the_name_of_its_component(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["memory"] = '{"thought": "They are allergic."}'

    runs = trace(ONE_TURN, OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY="none")

    calls = [run for run in runs if run.is_model_call]
    assert len(calls) == len(endpoint.calls)
    assert sorted(run.name for run in calls) == sorted(component_of(call) for call in endpoint.calls)
    assert all(run.name == run.metadata["component"] for run in calls)
    nodes = ("turn", "recall", "schedule", "thinking", "commit", "__start__")
    assert {run.name for run in runs} == {run.name for run in calls} | set(nodes)
    assert len(runs) == 2 * len(calls) + len(nodes)


A_RECOMMENDATION = """
import asyncio

from langchain_core.tracers.langchain import wait_for_all_tracers

from mirror_graph import MirrorContext, open_mirror


def menu(request, count, without):
    dishes = {"Quandong pie": "A pie with peanut butter.", "Dal": "Red lentils."}
    return [{"title": title, "about": about, "met": "eaten"} for title, about in dishes.items()]


async def converse():
    async with open_mirror(context=MirrorContext(talker_model="openai:test", thinking="off")) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        offer = await conversation.recommend("I am allergic to peanuts. Something sublime?", k=1, source=menu)
        assert [item["title"] for item in offer.items] == ["Dal"]


asyncio.run(converse())
wait_for_all_tracers()
"""


@pytest.mark.slow
def test_a_recommendation_is_one_trace_and_its_labels_hold_no_words_and_no_titles(endpoint: Endpoint) -> None:
    runs = trace(A_RECOMMENDATION, OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY="none")

    (turn,) = named(runs, "turn")
    assert {run.trace for run in runs} == {turn.id}
    assert {"recall", "propose", "screen", "offer", "schedule"} <= {run.name for run in runs}
    assert [run.name for run in runs for word in ("sublime", "peanuts", "Quandong", "Dal") if word in run.labels] == []
    assert "Dal" in str(turn.body["outputs"])
    assert "Quandong" not in str(turn.body["outputs"])


AN_AGENT = """
import asyncio

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph import MirrorContext
from mirror_graph.agents import MirrorMiddleware


def order_food(dish: str) -> str:
    \"\"\"Order a dish.\"\"\"
    return dish


async def converse():
    mirror = MirrorMiddleware(context=MirrorContext(think_after=60))
    agent = create_agent(ChatOpenAI(model="test"), [order_food], middleware=[mirror], checkpointer=InMemorySaver())
    words = "I am severely allergic to shellfish. Order me something with quandongs."
    await agent.ainvoke({"messages": [HumanMessage(words)]}, {"configurable": {"thread_id": "dinner"}})
    assert await mirror.settle("dinner", timeout=20)


asyncio.run(converse())
wait_for_all_tracers()
"""


@pytest.mark.slow
def test_a_turn_of_an_agent_is_one_trace_and_its_labels_hold_no_words(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["talker"] = [
        Answer(calls=[("order_food", {"dish": "seafood with quandongs"})]),
        "Something else?",
    ]
    replies.by_component["memory"] = '{"thought": "They are allergic."}'

    runs = trace(AN_AGENT, OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY="none")

    assert len({run.trace for run in runs}) == 1
    calls = [run for run in runs if run.is_model_call]
    assert sorted(run.name for run in calls) == sorted(component_of(call) for call in endpoint.calls)
    assert all(run.name == run.metadata["component"] for run in calls)
    [held] = [run for run in runs if "mirror_action" in run.metadata]
    assert held.metadata["mirror_action"] == "refused"
    assert len(held.metadata["mirror_constraints"]) == 1
    for word in ("shellfish", "quandongs", "seafood"):
        assert [run.name for run in runs if word in run.labels] == []


def test_every_graph_has_a_name() -> None:
    from mirror_graph.graphs import mirror, talker, thinker

    assert [mirror.graph.name, talker.graph.name, thinker.thinker.name] == ["mirror", "talker", "thinker"]


@pytest.mark.slow
def test_on_a_server_a_pass_is_listed_with_its_conversation(endpoint: Endpoint, replies: Replies) -> None:
    async def talk(url: str) -> str:
        server = ServerFixture(url, endpoint)
        chat = server.chat()
        await chat.say("I am allergic to peanuts.")
        await chat.settle()
        assert (await chat.mind())["narrative"]["turn"] == 1
        await server.close()
        return chat.thread_id

    with langsmith_endpoint() as langsmith:
        traced = {"LANGSMITH_TRACING": "true", "LANGSMITH_ENDPOINT": langsmith.url, "LANGSMITH_API_KEY": "none"}
        with serving(endpoint, extra_env=traced, env={}) as url:
            thread_id = asyncio.run(talk(url))
            deadline = time.monotonic() + 30
            while not all(run.ended for run in langsmith.runs) or not named(langsmith.runs, "commit"):
                assert time.monotonic() < deadline
                time.sleep(0.1)

    assert {run.metadata["thread_id"] for run in langsmith.runs} == {thread_id}
    assert {run.trace for run in langsmith.runs} == {langsmith.runs[0].trace}
    assert all(run.metadata["mirror_version"] for run in named(langsmith.runs, "thinker"))


def test_a_run_names_the_release_and_the_user_as_a_hash(runs: list[TracedRun]) -> None:
    outer = [*named(runs, "turn"), *named(runs, "thinking")]

    assert len({(run.metadata["mirror_version"], run.metadata["mirror_user"]) for run in outer}) == 1
    assert [run.name for run in runs if "ana" in str(run.metadata.values())] == []


SERVED = f"""
import asyncio
import os
import signal
import threading

import httpx
from langchain_core.tracers.langchain import wait_for_all_tracers

from mirror_graph import MirrorContext
from mirror_graph.serve.server import serve
from mirror_graph.serve.settings import ServeSettings


def say(url):
    body = {{"model": "mirror", "messages": [{{"role": "user", "content": "I am allergic to {SECRET}."}}]}}
    try:
        httpx.post(url + "/v1/chat/completions", json=body, timeout=100).raise_for_status()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def started(url):
    threading.Thread(target=say, args=[url]).start()


context = MirrorContext(talker_model="scripted:echo", thinking="off")
asyncio.run(serve(None, context=context, settings=ServeSettings(local_user="ana"), port=0, started=started))
wait_for_all_tracers()
"""


@pytest.mark.slow
@pytest.mark.parametrize("wants_words", [False, True])
def test_mirror_serve_sends_words_only_if_its_operator_wants_it(wants_words: bool) -> None:
    runs = trace(SERVED, MIRROR_TRACE_WORDS=str(wants_words).lower())
    assert "talker" in {run.name for run in runs}
    assert any(SECRET in run.labels + run.content for run in runs) == wants_words


@pytest.mark.slow
def test_a_server_sends_none_of_the_users_words(endpoint: Endpoint, replies: Replies) -> None:
    places = ("said", "replied", "narrative", "thought", "user", "tag", "label", "error")
    planted = [f"XYZZY{place}" for place in places]
    replies.by_component["talker"] = "I hear XYZZYreplied."
    replies.by_component["synthesis"] = "I know XYZZYnarrative."
    replies.by_component["goals"] = "They want XYZZYthought."
    replies.by_component["reasoning"] = Answer(status=400, error="no XYZZYerror, please")

    runs = trace_server(endpoint, {"words": "I am allergic to XYZZYsaid peanuts.", "user_id": "XYZZYuser"})

    assert {"talker", "goals", "synthesis"} <= {run.name for run in runs}
    assert [(run.name, word) for run in runs for word in planted if word in run.labels + run.content] == []
    assert any("usage_metadata" in run.content for run in runs if run.is_model_call)
    assert {run.metadata["component"] for run in runs if run.is_model_call} >= {"talker", "goals", "synthesis"}


@pytest.mark.slow
def test_a_server_sends_the_users_words_if_its_operator_wants_it(endpoint: Endpoint, replies: Replies) -> None:
    asked = {"words": "I am allergic to XYZZYsaid peanuts.", "user_id": "ana"}
    runs = trace_server(endpoint, asked, MIRROR_TRACE_WORDS="true")
    assert any("XYZZYsaid" in run.content for run in runs)


def trace_server(endpoint: Endpoint, asked: dict[str, str], **env: str) -> list[TracedRun]:
    """Make a turn and its thinking on a server that is traced, with labels of the client's."""

    async def converse(url: str) -> None:
        client = get_client(url=url)
        await client.runs.wait(
            str(uuid4()),
            "talker",
            if_not_exists="create",
            input={"messages": [{"role": "user", "content": asked["words"]}]},
            context={"talker_model": "openai:test", "think_after": 0, "user_id": asked["user_id"]},
            config={"tags": ["XYZZYtag"]},
            metadata={"label": "XYZZYlabel"},
        )
        await client.aclose()

    with langsmith_endpoint() as langsmith:
        traced = {"LANGSMITH_TRACING": "true", "LANGSMITH_ENDPOINT": langsmith.url, "LANGSMITH_API_KEY": "none"}
        with serving(endpoint, extra_env={**traced, **env}, env={}) as url:
            asyncio.run(converse(url))
            deadline = time.monotonic() + 100
            while not any(run.name == "commit" and run.ended for run in langsmith.runs):
                assert time.monotonic() < deadline, [run.name for run in langsmith.runs]
                time.sleep(0.2)
        return langsmith.runs
