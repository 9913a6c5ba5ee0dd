"""A supervisor's own reply is held to what its workers know of the user."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_supervisor import create_supervisor

from mirror_graph.agents import MirrorMiddleware
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.agents import ALLERGY, NAIVE, RULES, Stage, context, mark_of, request, thread

# langgraph-supervisor stands on a function that LangGraph is going to move.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ASKED = "Which dish shall I order at the Thai place tonight?"


@pytest.fixture
def stage(endpoint: Endpoint) -> Stage:
    stage = Stage(endpoint)
    endpoint.answer = hands_statements_on
    return stage


def hands_statements_on(call: Call) -> Answer | str:
    """Be a supervisor that hands statements on to its worker and answers requests itself, naively."""
    if RULES in str(call.messages[0]["content"]):
        return "Good to know."
    last = call.messages[-1]
    offered = call.body.get("tools", [])
    if offered and last["role"] == "user" and last["content"] == ALLERGY:
        return Answer(calls=[("transfer_to_guide", {})])
    return NAIVE if offered else "They are allergic to peanuts."


def supervised(stage: Stage, mirror: MirrorMiddleware) -> Any:
    guide = create_agent(stage.model, middleware=[mirror], name="guide")
    supervisor = create_supervisor([guide], model=stage.model, post_model_hook=mirror.for_supervisor())
    return supervisor.compile(checkpointer=InMemorySaver())


def note_in(values: dict[str, Any]) -> AIMessage:
    *_, reply, note = values["messages"]
    assert reply.text == NAIVE
    return note


async def test_what_a_worker_learned_holds_for_the_supervisors_own_reply(stage: Stage) -> None:
    mirror = MirrorMiddleware(context=context())
    agent = supervised(stage, mirror)
    await agent.ainvoke(request(ALLERGY), thread())
    await mirror.settle("thread-1", timeout=30)

    note = note_in(await agent.ainvoke(request(ASKED), thread()))

    assert note.text.startswith("Please note: you told me “I'm severely allergic to peanuts")
    [mark] = mark_of(note)["guarded"]
    assert (mark["by"], mark["place"]) == ("request", "note")


def test_a_supervisor_without_an_event_loop_is_held_to_the_same_message(stage: Stage) -> None:
    mirror = MirrorMiddleware(context=context(thinking="off"))
    agent = supervised(stage, mirror)

    values = agent.invoke(request(f"{ALLERGY} {ASKED}"), thread())
    mirror.close()

    assert "Please note" in note_in(values).text


async def test_a_supervisor_whose_reply_touches_nothing_has_the_last_word(stage: Stage) -> None:
    mirror = MirrorMiddleware(context=context(thinking="off"))
    agent = supervised(stage, mirror)

    values = await agent.ainvoke(request(ASKED), thread())

    assert values["messages"][-1].text == NAIVE
