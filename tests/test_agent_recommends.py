"""An agent's recommendations: what its model, its thread and its user get."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph import ConfigurationError
from mirror_graph.agents import MirrorMiddleware, recommend_tool
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.agents import ALLERGY, Stage, context, request, thread

MENU = {
    "Satay": "Chicken with peanut sauce.",
    "Dal": "Red lentils.",
    "Pad thai": "Noodles with roasted peanuts.",
    "Risotto": "Rice with saffron.",
}


def menu(request: str, count: int, without: list[str]) -> list[dict[str, Any]]:
    return [{"title": title, "about": about, "met": "eaten"} for title, about in MENU.items()]


@pytest.fixture
def stage(endpoint: Endpoint) -> Stage:
    stage = Stage(endpoint)
    stage.says(recommends)
    return stage


def recommends(call: Call) -> Answer | str:
    """Call the tool when something to eat is asked for, and then say what it returned."""
    last = call.messages[-1]
    if last["role"] == "tool":
        return f"How about this? {last['content']}"
    if "to eat" in str(last["content"]):
        return Answer(calls=[("recommend", {"request": "something to eat", "count": 1})])
    return "Nice to hear."


def agent_of(stage: Stage, saver: InMemorySaver, middleware: Callable[[], list[Any]]) -> Any:
    return create_agent(stage.model, [recommend_tool(menu)], middleware=middleware(), checkpointer=saver)


async def test_an_agent_recommends_what_fits_and_never_the_same_twice(stage: Stage) -> None:
    mirror, saver = MirrorMiddleware(context=context(thinking="off")), InMemorySaver()
    agent = agent_of(stage, saver, lambda: [mirror])
    await agent.ainvoke(request(ALLERGY), thread())
    await agent.ainvoke(request("Recommend something to eat."), thread())
    values = await agent.ainvoke(request("Another thing to eat, please."), thread())

    results = [message for message in values["messages"] if isinstance(message, ToolMessage)]
    assert [result.text for result in results] == ["1. Dal", "1. Risotto"]
    assert [result.artifact["missing"] for result in results] == [0, 0]
    stored = " ".join(str(found) for found in saver.list(thread()))
    assert "Risotto" in stored
    assert "Satay" not in stored
    assert "Satay" not in " ".join(call.prompt for call in stage.calls)


def test_an_agent_without_an_event_loop_recommends_too(stage: Stage) -> None:
    mirror = MirrorMiddleware(context=context(thinking="off"))
    agent = agent_of(stage, InMemorySaver(), lambda: [mirror])
    agent.invoke(request(ALLERGY), thread())
    values = agent.invoke(request("Recommend something to eat."), thread())

    assert values["messages"][-1].text.startswith("How about this? 1. Dal")
    mirror.close()


async def test_without_the_middleware_the_tool_refuses_to_recommend(stage: Stage) -> None:
    agent = agent_of(stage, InMemorySaver(), list)
    stage.endpoint.answer = recommends

    with pytest.raises(ConfigurationError, match="knows no constraints"):
        await agent.ainvoke(request("Recommend something to eat."), thread())
