"""The guard in the graphs, the host, a larger graph and on a server: the note comes once, as a piece of the reply."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore

from mirror_graph import MirrorContext, build_mirror, build_talker, open_mirror, scan
from mirror_graph.errors import ConfigurationError, ReplyError
from mirror_graph.guard import Finding
from mirror_graph.models.scripted import register_script
from mirror_graph.state import MirrorState
from mirror_graph.state.context import GuardMode
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies
from tests.server import ServerFixture

pytestmark = pytest.mark.enable_socket

PEANUTS = "I have a severe peanut allergy."
SATAY = "Which satay shall I order for tonight, the beef or the chicken one?"
NAIVE = "The chicken satay, it is the best one."
NOTE = "Please note: you told me “I have a severe peanut allergy”, and “satay” can contain peanut."
CONTEXT = MirrorContext(talker_model="openai:test", thinking="off")


async def collect(events: AsyncIterator[Any]) -> list[Any]:
    return [event async for event in events]


def the_graph(kind: str) -> Any:
    builder: Any = build_talker() if kind == "talker" else build_mirror()
    return builder.compile(checkpointer=InMemorySaver(), store=InMemoryStore())


async def final_values(graph: Any, context: MirrorContext = CONTEXT) -> dict[str, Any]:
    """Start a thread in which the user has mentioned the allergy."""
    config = {"configurable": {"thread_id": str(uuid4())}}
    await graph.ainvoke({"messages": [HumanMessage(PEANUTS)]}, config, context=context)
    return config


@pytest.mark.parametrize("kind", ["talker", "mirror"])
async def test_every_stream_mode_shows_the_note_once_under_the_id_of_the_reply(
    kind: str, endpoint: Endpoint, replies: Replies
) -> None:
    graph = the_graph(kind)
    config = await final_values(graph)
    replies.by_component["talker"] = NAIVE
    ask = {"messages": [HumanMessage(SATAY)]}

    modes = ["messages", "updates", "values"]
    events = await collect(graph.astream(ask, config, context=CONTEXT, stream_mode=modes))
    pieces = [event[0] for mode, event in events if mode == "messages" and isinstance(event[0], AIMessageChunk)]
    update = next(event["talker"]["messages"] for mode, event in events if mode == "updates" and "talker" in event)
    [written] = [message for message in update if isinstance(message, AIMessage)]
    last = [event for mode, event in events if mode == "values"][-1]["messages"][-1]

    assert "".join(piece.text for piece in pieces) == written.text == last.text
    assert written.text.startswith(f"{NAIVE}\n\n{NOTE}")
    assert written.text.count("Please note") == 1
    assert {piece.id for piece in pieces} == {written.id} == {last.id}
    assert sum("Please note" in piece.text for piece in pieces) == 1


async def test_astream_events_shows_each_piece_once(endpoint: Endpoint, replies: Replies) -> None:
    graph = the_graph("talker")
    config = await final_values(graph)
    replies.by_component["talker"] = NAIVE
    events = await collect(
        graph.astream_events({"messages": [HumanMessage(SATAY)]}, config, context=CONTEXT, version="v2")
    )
    pieces = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]
    models = [event for event in events if event["event"] == "on_chat_model_end"]

    assert "".join(pieces) == (await graph.aget_state(config)).values["messages"][-1].text
    assert "".join(pieces).count("Please note") == 1
    assert len(models) == 1


async def test_a_larger_graph_streams_the_note_too(endpoint: Endpoint, replies: Replies) -> None:
    outer = StateGraph(MirrorState, MirrorContext)
    outer.add_node("mirror", build_talker().compile())
    outer.add_edge(START, "mirror")
    outer.add_edge("mirror", END)
    graph = outer.compile(checkpointer=InMemorySaver(), store=InMemoryStore())
    replies.by_component["talker"] = NAIVE
    config: Any = {"configurable": {"thread_id": str(uuid4())}}
    both = {"messages": [HumanMessage(f"{PEANUTS} {SATAY}")]}
    events = await collect(
        graph.astream(cast(Any, both), config, context=CONTEXT, stream_mode="messages", subgraphs=True)
    )
    text = "".join(event[0].text for _, event in events if isinstance(event[0], AIMessageChunk))

    assert text.startswith(f"{NAIVE}\n\n{NOTE}")


async def test_the_host_says_what_was_added_and_counts_it(
    endpoint: Endpoint, replies: Replies, database: str | None
) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say(PEANUTS)
        replies.by_component["talker"] = NAIVE
        stream = conversation.stream(SATAY)
        pieces = [piece async for piece in stream]
        mind = await conversation.mind()
        [_, _, _, stored] = await conversation.messages()

    [added] = stream.reply.guarded
    assert "".join(pieces) == stream.reply.text == stored.text
    assert pieces[-1].startswith(f"\n\n{NOTE}")
    assert (added["words"], added["by"], added["place"]) == (["satay"], "request", "note")
    assert added["constraint"] == scan(PEANUTS)[0]["id"]
    assert stored.response_metadata["mirror"]["guarded"] == [added]
    assert (mind.guarded, mind.failures) == (1, {})
    assert mind.usage["talker"]["total"]["calls"] == 2


async def test_a_subject_is_left_alone_for_as_long_as_the_context_says(endpoint: Endpoint, replies: Replies) -> None:
    context = MirrorContext(talker_model="openai:test", thinking="off", guard_again=2)
    replies.by_component["talker"] = "Yes, go!"
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I have a crippling fear of heights.")
        noted = [bool((await conversation.say("Shall we go skydiving on Sunday with Tom?")).guarded) for _ in range(4)]

    assert noted == [True, False, True, False]


@pytest.mark.parametrize("guard", ["off", "note", "open", "hold"])
async def test_the_context_chooses_how_replies_are_guarded(
    guard: GuardMode, endpoint: Endpoint, replies: Replies
) -> None:
    context = MirrorContext(talker_model="openai:test", thinking="off", guard=guard)
    replies.by_component["talker"] = NAIVE
    async with open_mirror(context=context) as mirror:
        reply = await mirror.conversation("t").say(f"{PEANUTS} {SATAY}")

    places = [added["place"] for added in reply.guarded]
    expected = {"off": [], "note": ["note"], "open": ["opening"], "hold": ["replacement"]}
    assert places == expected[guard]
    assert ("chicken" in reply.text) is (guard != "hold")
    assert ("peanut allergy" in reply.text) is (guard != "off")


async def test_the_guard_of_a_check_knows_what_the_check_has_found(endpoint: Endpoint, replies: Replies) -> None:
    """A model finds what no relation knows."""
    register_script("finds", lambda _: '{"touched": [1]}')
    context = MirrorContext(
        talker_model="openai:test", thinker_model="scripted:finds", thinking="off", relevance="check"
    )
    replies.by_component["talker"] = "Go ahead!"
    async with open_mirror(context=context) as mirror:
        reply = await mirror.conversation("t").say(f"{PEANUTS} Shall I try what my neighbour brought over last night?")

    assert "and this can bring you near it" in reply.text


async def test_a_failing_guard_is_counted_and_costs_no_reply(
    endpoint: Endpoint, replies: Replies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr("mirror_graph.guard.model.read_request", broken)
    replies.by_component["talker"] = NAIVE
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        reply = await conversation.say(f"{PEANUTS} {SATAY}")
        mind = await conversation.mind()

    assert reply.text == NAIVE
    assert mind.failures["guard"] == {"count": 1, "turn": 1, "error": "KeyError"}


async def test_a_reply_that_breaks_off_is_no_reply_and_gets_no_note(
    endpoint: Endpoint, replies: Replies, quick_retries: None
) -> None:
    replies.by_component["talker"] = Answer(NAIVE, cut_after=5)
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(ReplyError) as broken_off:
            await conversation.say(f"{PEANUTS} {SATAY}")
        assert [message.type for message in await conversation.messages()] == ["human"]
    assert broken_off.value.partial.strip() == "The chicken satay, it is"


async def test_a_host_decides_by_itself_what_is_added(endpoint: Endpoint, replies: Replies) -> None:
    def rule(findings: Sequence[Finding], language: str) -> str:
        return f"({findings[0].constraint['about']}, {language})"

    replies.by_component["talker"] = NAIVE
    async with open_mirror(context=CONTEXT, guard=rule) as mirror:
        reply = await mirror.conversation("t").say(f"{PEANUTS} {SATAY}")
    with pytest.raises(ConfigurationError, match="expected a function of findings"):
        async with open_mirror(guard=cast(Any, "note")):
            pass

    assert reply.text == f"{NAIVE}\n\n(peanut, en)"


def test_the_guard_is_chosen_once_by_the_model() -> None:
    assert MirrorContext().guard == "note"
    assert MirrorContext(talker_model="local:qwen2.5-coder-1.5b").guard == "open"
    assert MirrorContext(talker_model="local:qwen2.5-coder-1.5b", guard="note").guard == "note"
    with pytest.raises(ConfigurationError, match="unknown guard 'loud'"):
        MirrorContext(guard=cast(Any, "loud"))
    with pytest.raises(ConfigurationError, match="guard_again is -1"):
        MirrorContext(guard_again=-1)


@pytest.mark.parametrize("graph", ["talker", "mirror"])
async def test_a_server_streams_the_note_in_every_mode(server: ServerFixture, graph: str) -> None:
    chat = server.chat(graph, thinking="off")
    await chat.say(PEANUTS)
    chat.replies.by_component["talker"] = NAIVE
    ids: set[str] = set()
    pieces: list[str] = []
    whole = ""
    modes: Any = ["messages", "messages-tuple", "updates", "values"]
    async for part in chat.client.runs.stream(
        chat.thread_id,
        graph,
        input={"messages": [{"type": "human", "content": SATAY}]},
        context={"talker_model": f"openai:{chat.model}", "thinking": "off"},
        stream_mode=modes,
    ):
        if part.event == "messages":
            ids.add(part.data[0]["id"])
            pieces.append(part.data[0]["content"])
        elif part.event == "values":
            whole = part.data["messages"][-1]["content"]
    assert whole.startswith(f"{NAIVE}\n\n{NOTE}")
    assert whole.count("Please note") == 1
    assert "".join(pieces).count("Please note") == 1
    assert len(ids) == 1


@pytest.mark.parametrize("guard", ["note", "open", "hold"])
async def test_reasoning_that_shows_only_at_its_end_is_no_part_of_a_guarded_reply(
    guard: GuardMode, endpoint: Endpoint, replies: Replies
) -> None:
    replies.by_component["talker"] = "The peanut allergy is a risk. I should avoid satay.</think>The chicken satay!"
    context = MirrorContext(talker_model="openai:reasons", thinking="off", guard=guard)
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        reply = await conversation.say(f"{PEANUTS} {SATAY}")
        stored = (await conversation.messages())[-1]

    assert reply.text == stored.text
    assert "I should avoid" not in reply.text
    assert ("The chicken satay!" in reply.text) is (guard != "hold")
    # What was reasoned does not make the reply aware.
    assert len(reply.guarded) == 1
    assert "you told me “I have a severe peanut allergy”" in reply.text
