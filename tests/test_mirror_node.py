"""MIRROR as a node of somebody else's graph: whatever its state, its context, its checkpointer and its other nodes."""

import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph, add_messages
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command, Send
from pydantic import BaseModel
from typing_extensions import TypedDict

from mirror_graph import ConfigurationError, MirrorContext, build_mirror, mirror_node
from mirror_graph.models import scripted_model
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies, component_of, prompts_of

FACT = "I'm severely allergic to peanuts."
RISK = "Shall I order the satay with peanut sauce?"
CONTEXT = MirrorContext(talker_model="openai:test", window_tokens=500)
THREAD: RunnableConfig = {"configurable": {"thread_id": "thread-1"}}


class Listed(TypedDict):
    chat: Annotated[list[Any], operator.add]
    steps: Annotated[int, operator.add]


@dataclass
class Held:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)


class Checked(BaseModel):
    messages: Annotated[list[Any], add_messages] = []


@dataclass
class AgentContext:
    name: str = "somebody's own"


def parent(state: Any = MessagesState, key: str = "messages", saver: Any = None, **nodes: Any) -> Any:
    builder = StateGraph(state, context_schema=AgentContext)
    builder.add_node("mirror", mirror_node(context=CONTEXT, messages_key=key))
    builder.add_edge(START, "mirror")
    return builder.compile(checkpointer=saver or InMemorySaver())


def mark(message: Any) -> tuple[int, int, int]:
    noted = message.response_metadata["mirror"]
    return noted["turn"], noted["narrative_turn"], noted["lag"]


@pytest.mark.parametrize(
    ("state", "key"), [(MessagesState, "messages"), (Listed, "chat"), (Held, "messages"), (Checked, "messages")]
)
async def test_a_mind_lasts_whatever_the_parents_state_and_context(
    endpoint: Endpoint, replies: Replies, state: Any, key: str
) -> None:
    graph = parent(state, key)

    for turn in range(1, 13):
        text = FACT if turn == 2 else RISK if turn == 12 else f"Message {turn}. " + "More words. " * 40
        values = await graph.ainvoke({key: [HumanMessage(text)]}, THREAD, context=AgentContext())
        messages = values[key]
        assert mark(messages[-1]) == (turn, turn - 1, 0)
        assert len(messages) == 2 * turn

    last = [call for call in endpoint.calls if component_of(call) == "talker"][-1].messages
    assert not any(FACT in str(message["content"]) for message in last[1:-1])
    assert f'"{FACT}"' in str(last[-1]["content"])


@pytest.mark.parametrize("kind", ["memory", "sqlite", "async sqlite"])
async def test_a_mind_lasts_in_any_checkpointer_of_the_parent(
    endpoint: Endpoint, replies: Replies, kind: str, tmp_path: Path
) -> None:
    async def talk(saver: BaseCheckpointSaver[Any]) -> AIMessage:
        graph = parent(saver=saver)
        for text in (FACT, RISK):
            said = {"messages": [HumanMessage(text)]}
            is_sync = kind == "sqlite"
            values = graph.invoke(said, THREAD) if is_sync else await graph.ainvoke(said, THREAD)
        reply: AIMessage = values["messages"][-1]
        return reply

    if kind == "memory":
        reply = await talk(InMemorySaver())
    elif kind == "sqlite":
        with SqliteSaver.from_conn_string(str(tmp_path / "own.db")) as saver:
            reply = await talk(saver)
    else:
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "own.db")) as saver:
            reply = await talk(saver)

    assert mark(reply) == (2, 1, 0)


async def test_a_parent_without_a_checkpointer_is_a_clear_error() -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("mirror", mirror_node(context=CONTEXT))
    builder.add_edge(START, "mirror")

    with pytest.raises(ConfigurationError, match="'mirror' has nowhere to keep its mind: compile the parent"):
        await builder.compile().ainvoke({"messages": [HumanMessage("Hello")]}, THREAD)


async def test_a_parent_without_the_key_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match=r"no 'words'.*messages_key"):
        await parent(key="words").ainvoke({"messages": [HumanMessage("Hello")]}, THREAD)


async def test_only_the_reply_is_streamed(endpoint: Endpoint, replies: Replies) -> None:
    events = parent().astream({"messages": [HumanMessage(FACT)]}, THREAD, stream_mode="messages", subgraphs=True)

    assert "".join([piece.text async for _, (piece, _) in events]) == "I hear you."


async def test_two_nodes_have_a_mind_each_and_read_each_other_as_others(endpoint: Endpoint, replies: Replies) -> None:
    builder = StateGraph(MessagesState)
    for name in ("cook", "guide"):
        builder.add_node(name, mirror_node(context=MirrorContext(talker_model=f"openai:{name}")))
    builder.add_conditional_edges(START, lambda state: "cook" if "cook" in state["messages"][-1].text else "guide")
    graph = builder.compile(checkpointer=InMemorySaver())

    turns = []
    for text in ("cook something", "where to?", "cook it again", "and then?"):
        values = await graph.ainvoke({"messages": [HumanMessage(text)]}, THREAD)
        turns.append(mark(values["messages"][-1]))

    assert turns == [(1, 0, 0), (1, 0, 0), (2, 1, 0), (2, 1, 0)]
    passes = [call for call in endpoint.calls if component_of(call) == "goals"]
    assert [call.model for call in passes] == ["cook", "guide", "cook", "guide"]
    last = [call for call in endpoint.calls if component_of(call) == "talker" and call.model == "guide"][-1]
    assert "cook it again" in last.prompt


async def test_two_sends_of_one_step_lose_nothing(endpoint: Endpoint, replies: Replies) -> None:
    def both(state: MessagesState) -> list[Send]:
        return [
            Send("mirror", {"messages": [HumanMessage(f"I'm allergic to {food}.", id=food)]})
            for food in ("eggs", "kiwi")
        ]

    builder = StateGraph(MessagesState)
    builder.add_node("mirror", mirror_node(context=CONTEXT))
    builder.add_conditional_edges(START, both, ["mirror"])
    saver = InMemorySaver()

    values = await builder.compile(checkpointer=saver).ainvoke({"messages": []}, THREAD)

    assert sorted(mark(reply)[0] for reply in values["messages"]) == [1, 2]
    own = await saver.aget_tuple({"configurable": {"thread_id": "thread-1", "checkpoint_ns": "mirror"}})
    assert own is not None
    assert {entry["about"] for entry in own.checkpoint["channel_values"]["constraints"]} == {"eggs", "kiwi"}


async def test_commands_lead_into_it_and_out_of_it_with_a_handoff_in_front(
    endpoint: Endpoint, replies: Replies
) -> None:
    mirror = mirror_node(context=CONTEXT)

    def supervisor(state: MessagesState) -> Command[str]:
        call = {"name": "transfer_to_companion", "args": {}, "id": "c1"}
        handoff = [AIMessage("", tool_calls=[call], name="supervisor"), ToolMessage("Transferred.", tool_call_id="c1")]
        return Command(goto="companion", update={"messages": handoff})

    async def companion(state: MessagesState, config: RunnableConfig) -> Command[str]:
        return Command(update=await mirror.ainvoke(state, config), goto="after")

    def after(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("Done.", name="after")]}

    builder = StateGraph(MessagesState)
    builder.add_node("supervisor", supervisor, destinations=("companion",))
    builder.add_node("companion", companion, destinations=("after",))
    builder.add_node("after", after)
    builder.add_edge(START, "supervisor")
    graph = builder.compile(checkpointer=InMemorySaver())

    for text in (FACT, RISK):
        values = await graph.ainvoke({"messages": [HumanMessage(text)]}, THREAD)

    assert values["messages"][-1].text == "Done."
    assert mark(values["messages"][-2]) == (2, 1, 0)
    prompt = [call for call in endpoint.calls if component_of(call) == "talker"][-1].messages
    assert {message["role"] for message in prompt} <= {"system", "user", "assistant"}
    last = str(prompt[-1]["content"])
    assert last.index(f'"{FACT}"') < last.index(RISK)


async def test_words_that_the_parent_took_back_are_gone_from_the_mind(endpoint: Endpoint, replies: Replies) -> None:
    graph = parent()
    await graph.ainvoke({"messages": [HumanMessage("Hello", id="h1")]}, THREAD)
    values = await graph.ainvoke({"messages": [HumanMessage("I'm allergic to celery.", id="h2")]}, THREAD)
    held = values["messages"][:2]

    edited = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *held, HumanMessage("I'm allergic to sesame.", id="h2")]
    await graph.ainvoke({"messages": edited}, THREAD)
    await graph.ainvoke({"messages": [HumanMessage("A salad with celery and sesame?")]}, THREAD)

    last = prompts_of(endpoint.calls, "talker")[-1]
    assert "allergic to sesame" in last
    assert "allergic to celery" not in last


async def test_a_bare_subgraph_has_the_context_it_was_built_with(endpoint: Endpoint, replies: Replies) -> None:
    builder = StateGraph(MessagesState, context_schema=AgentContext)
    builder.add_node("mirror", build_mirror(context=CONTEXT).compile(checkpointer=True))
    builder.add_edge(START, "mirror")
    graph = builder.compile(checkpointer=InMemorySaver())

    values = await graph.ainvoke({"messages": [HumanMessage(FACT)]}, THREAD, context=AgentContext())

    assert mark(values["messages"][-1])[0] == 1
    assert {call.model for call in endpoint.calls} == {"test"}


async def test_a_bare_subgraph_in_a_context_of_another_type_says_what_to_do() -> None:
    builder = StateGraph(MessagesState, context_schema=AgentContext)
    builder.add_node("mirror", build_mirror().compile())
    builder.add_edge(START, "mirror")

    with pytest.raises(ConfigurationError, match=r"context is a AgentContext.*mirror_node\(context="):
        await builder.compile().ainvoke({"messages": [HumanMessage(FACT)]}, context=AgentContext())


async def test_the_callers_context_outranks_the_builders(endpoint: Endpoint, replies: Replies) -> None:
    graph = build_mirror(context=MirrorContext(talker_model="openai:builder")).compile()

    await graph.ainvoke({"messages": [HumanMessage(FACT)]}, context=CONTEXT)

    assert {call.model for call in endpoint.calls} == {"test"}


def test_a_model_object_cannot_go_to_a_server() -> None:
    context = MirrorContext(talker_model=scripted_model("echo"))

    with pytest.raises(ConfigurationError, match=r"talker_model is a ScriptedModel object.*names only"):
        mirror_node(context=context, graph=RemoteGraph("talker", url="http://127.0.0.1:9"))
