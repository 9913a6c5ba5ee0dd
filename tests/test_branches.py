"""A conversation is what the user sees: edits, forks, removals and resent transcripts, on the graphs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import InvalidUpdateError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.store.memory import InMemoryStore

from mirror_graph.errors import MessageRefusedError
from mirror_graph.graphs import build_mirror, build_talker
from mirror_graph.graphs.thinker import thinker
from mirror_graph.models.scripted import register_script
from mirror_graph.scheduling.item_store import StoreScheduler
from mirror_graph.state import MindState, MirrorContext
from mirror_graph.state.reducers import message_tokens
from mirror_graph.state.window import HARD_WINDOW
from tests.builders import heavy_law

DANGERS = ("peanuts", "shrimp", "sesame", "kiwi", "latex", "walnuts", "mustard", "celery", "eggs", "soy", "wheat")
WINDOWS = (500, 20_000)
OPERATIONS = (
    "say",
    "edit",
    "fork",
    "regenerate",
    "remove",
    "clear",
    "resend",
    "resend without ids",
    "resend with marks",
)


class Script:
    """A model that answers each prompt with a numbered reply, and keeps the prompts of the talker."""

    def __init__(self) -> None:
        self.prompts: list[Sequence[BaseMessage]] = []
        self.name = f"branches-{uuid4()}"
        register_script(self.name, self.answer)

    def answer(self, messages: Sequence[BaseMessage]) -> str:
        if "You are a kind companion" not in messages[0].text:
            return "I think about it."
        self.prompts.append(messages)
        return f"Reply {len(self.prompts)} to you. " + "More of it. " * 20


@dataclass
class Chat:
    """A thread of a graph, and the conversation as its user sees it."""

    graph: Any
    context: MirrorContext
    script: Script
    thread_id: str = field(default_factory=lambda: str(uuid4()))
    shown: list[AnyMessage] = field(default_factory=list)
    shown_at: dict[str | None, list[AnyMessage]] = field(default_factory=dict)
    tidied: set[str] = field(default_factory=set)
    count: int = 0

    def message(self, danger: int | None) -> HumanMessage:
        self.count += 1
        fact = "" if danger is None else f" I'm allergic to {DANGERS[danger]}."
        return HumanMessage(f"Message {self.count}.{fact}", id=str(uuid4()))

    async def send(self, messages: list[Any], config: dict[str, Any] | None = None) -> AIMessage:
        config = config or {"configurable": {"thread_id": self.thread_id}}
        state = await self.graph.ainvoke({"messages": messages}, config, context=self.context)
        return state["messages"][-1]

    async def play(self, operation: str, danger: int | None, place: int) -> None:
        """Carry out one operation, and check what the talker was shown."""
        news = self.message(danger)
        answered = [message for message in self.shown if isinstance(message, HumanMessage)]
        before = list(self.shown)
        config = None
        held = await self._held()
        named = [message for message in answered if message.id in held]
        if operation == "edit" and named:
            edited = named[place % len(named)]
            news = HumanMessage(news.content, id=edited.id)
            before = before[: before.index(edited)]
            sent: list[Any] = [news]
        elif operation == "fork" and answered:
            states = [state async for state in self.graph.aget_state_history(self._config)]
            ends = [state for state in states if not state.next and state.values.get("messages")]
            chosen = ends[place % len(ends)]
            config = chosen.config
            last = chosen.values["messages"][-1].id
            before = self.shown_at[last]
            sent = [news]
        elif operation == "regenerate" and answered:
            news = answered[-1]
            before = before[: before.index(news)]
            sent = [RemoveMessage(id=self.shown[-1].id or "")]
        elif operation == "remove" and len(self.shown) >= 4:
            gone = [message for message in before[:2] if message.id in held]
            before = [message for message in before if message not in gone]
            sent = [*(RemoveMessage(id=message.id or "") for message in gone), news]
        elif operation == "clear":
            before = []
            sent = [RemoveMessage(id=REMOVE_ALL_MESSAGES), news]
        elif operation == "resend":
            sent = [*(_copy(message) for message in before), news]
        elif operation == "resend with marks":
            sent = [*before, news]
        elif operation == "resend without ids":
            sent = [_copy(message, keep_id=False) for message in (*before, news)]
        else:
            sent = [news]
        if operation in ("remove", "clear"):  # to tidy up a chat takes back nothing that was stated in it
            self.tidied |= _dangers_in([message for message in self.shown if message not in before])
        reply = await self.send(sent, config)
        self.shown = self.shown_at[reply.id] = [*before, news, reply]
        self.check(reply)

    @property
    def _config(self) -> dict[str, Any]:
        return {"configurable": {"thread_id": self.thread_id}}

    async def _held(self) -> set[str | None]:
        state = await self.graph.aget_state(self._config)
        return {message.id for message in state.values.get("messages", [])}

    def check(self, reply: AIMessage) -> None:
        prompt = self.script.prompts[-1]
        mark = reply.response_metadata["mirror"]
        assert mark["lag"] >= 0
        marks = [
            message.response_metadata["mirror"]["turn"] for message in self.shown if isinstance(message, AIMessage)
        ]
        assert marks == sorted(set(marks))  # along the conversation as it stands, turns only grow
        words = "\n".join(message.text for message in prompt[1:])
        assert _dangers_in(self.shown) <= _dangers_in(prompt)
        assert _dangers_in(prompt) <= _dangers_in(self.shown) | self.tidied  # nothing that was edited away
        places = [words.index(f"{_name(message)}.") for message in self.shown[:-1] if f"{_name(message)}." in words]
        assert places == sorted(places)
        quotes = words.count("They said:")  # the ledger quotes sentences, never a message's first one
        for message in self.shown[:-1]:
            assert words.count(f"{_name(message)}.") <= 1, quotes
        assert sum(map(message_tokens, prompt[1:-1])) <= HARD_WINDOW * self.context.window_tokens


def _dangers_in(messages: Sequence[BaseMessage]) -> set[str]:
    words = "\n".join(message.text for message in messages if not isinstance(message, AIMessage))
    return {danger for danger in DANGERS if f"allergic to {danger}" in words}


def _name(message: AnyMessage) -> str:
    return message.text.partition(".")[0]


def _copy(message: AnyMessage, *, keep_id: bool = True) -> AnyMessage:
    kind = AIMessage if isinstance(message, AIMessage) else HumanMessage
    return kind(message.content, id=message.id if keep_id else None)


plays = st.lists(
    st.tuples(
        st.sampled_from(OPERATIONS),
        st.none() | st.integers(0, len(DANGERS) - 1),
        st.integers(0, 9),
        st.booleans(),
    ),
    min_size=2,
    max_size=8,
)


@heavy_law(60)
@given(plays, st.sampled_from(WINDOWS), st.sampled_from(["parallel", "off"]))
def test_whatever_is_in_the_conversation_was_scanned_before_the_answer(
    play: list[tuple[str, int | None, int, bool]], window: int, thinking: Any
) -> None:
    async def converse() -> None:
        script = Script()
        context = _context(script, window, thinking)
        scheduler = StoreScheduler(thinker)
        graph = build_talker(scheduler).compile(checkpointer=InMemorySaver(), store=InMemoryStore())
        chat = Chat(graph, context, script)
        for operation, danger, place, pause in play:
            await chat.play(operation, danger, place)
            if pause:
                await _settle(scheduler, chat.thread_id)
        await _settle(scheduler, chat.thread_id)

    asyncio.run(converse())


@heavy_law(40)
@given(plays, st.sampled_from(WINDOWS))
def test_a_graph_that_thinks_in_its_own_run_scans_everything_too(
    play: list[tuple[str, int | None, int, bool]], window: int
) -> None:
    async def converse() -> None:
        script = Script()
        graph = build_mirror().compile(checkpointer=InMemorySaver())
        chat = Chat(graph, _context(script, window, "synthesis_only"), script)
        for operation, danger, place, _ in play:
            await chat.play(operation, danger, place)

    asyncio.run(converse())


def _context(script: Script, window: int, thinking: Any) -> MirrorContext:
    return MirrorContext(
        talker_model=f"scripted:{script.name}",
        thinking=thinking,
        window_tokens=window,
        think_after=0,
        relevance="talker",
    )


async def _settle(scheduler: StoreScheduler, thread_id: str) -> None:
    for inner in scheduler._schedulers.values():
        await inner.settle(thread_id)


def _open(window: int = 20_000, relevance: Any = "talker", **choices: Any) -> tuple[Chat, StoreScheduler]:
    script = Script()
    context = replace(_context(script, window, "parallel"), relevance=relevance, **choices)
    scheduler = StoreScheduler(thinker)
    graph = build_talker(scheduler).compile(checkpointer=InMemorySaver(), store=InMemoryStore())
    return Chat(graph, context, script), scheduler


async def test_an_edited_message_counts_and_its_earlier_version_does_not() -> None:
    chat, scheduler = _open()
    first = HumanMessage("I'm allergic to sesame. What shall I cook tonight?", id="first")
    await chat.send([first])
    await _settle(scheduler, chat.thread_id)

    edited = HumanMessage("I'm severely allergic to peanuts. What shall I cook tonight?", id="first")
    reply = await chat.send([edited])
    last = chat.script.prompts[-1][-1].text
    assert "peanuts" in last
    assert "sesame" not in last
    assert "I think about it." not in last  # the narrative of the abandoned branch
    assert _stood_on(reply) == (2, 0, 0)

    await _settle(scheduler, chat.thread_id)
    reply = await chat.send([HumanMessage("And tomorrow?")])
    assert _stood_on(reply) == (3, 2, 0)
    assert _dangers_in([chat.script.prompts[-1][-1]]) == {"peanuts"}


async def test_a_cleared_chat_counts_from_its_first_message() -> None:
    chat, scheduler = _open()
    for _ in range(3):
        await chat.send([HumanMessage("Hello.")])
    await _settle(scheduler, chat.thread_id)
    await chat.send([RemoveMessage(id=REMOVE_ALL_MESSAGES), HumanMessage("I'm allergic to kiwi. Hello again.")])
    assert "kiwi" in chat.script.prompts[-1][-1].text
    assert len(chat.script.prompts[-1]) == 2


@pytest.mark.parametrize("with_ids", [True, False])
async def test_a_client_that_sends_its_transcript_each_turn_gets_a_bounded_prompt_in_order(with_ids: bool) -> None:
    chat, scheduler = _open(window=1_500)
    transcript: list[AnyMessage] = []
    for turn in range(16):
        fact = " I'm allergic to celery." if turn == 4 else ""
        transcript.append(HumanMessage(f"Message {turn}.{fact} " + "Words. " * 60, id=f"h{turn}"))
        reply = await chat.send([_copy(message, keep_id=with_ids) for message in transcript])
        transcript.append(reply)
        assert reply.response_metadata["mirror"]["turn"] == turn + 1
        await _settle(scheduler, chat.thread_id)
    prompt = chat.script.prompts[-1]
    assert sum(map(message_tokens, prompt[1:-1])) <= 1_500
    numbers = [
        int(message.text.split(".")[0].split()[1]) for message in prompt[1:-1] if isinstance(message, HumanMessage)
    ]
    assert numbers == list(range(numbers[0], 15))
    assert "celery" in prompt[-1].text


async def test_a_subgraph_that_keeps_its_state_keeps_its_mind() -> None:
    script = Script()
    parent = StateGraph(MessagesState, context_schema=MirrorContext)
    parent.add_node("mirror", build_mirror().compile(checkpointer=True))
    parent.add_edge(START, "mirror")
    graph = parent.compile(checkpointer=InMemorySaver())
    chat = Chat(graph, _context(script, 500, "parallel"), script)
    for turn in range(12):
        fact = " I'm allergic to celery." if turn == 2 else ""
        reply = await chat.send([HumanMessage(f"Message {turn}.{fact}")])
        assert _stood_on(reply) == (turn + 1, turn, 0)
    assert sum(map(message_tokens, script.prompts[-1][1:-1])) <= 500
    assert "celery" in script.prompts[-1][-1].text


async def test_a_supervisor_that_hands_over_answers_nothing_for_us() -> None:
    chat, _ = _open()
    await chat.send([HumanMessage("I'm allergic to eggs. Book a table.")])
    reply = await chat.send([HumanMessage("What can I eat there?"), AIMessage("I hand over.", name="supervisor")])
    last = chat.script.prompts[-1][-1].text
    assert last.index("What can I eat there?") < last.index("I hand over.")
    assert reply.response_metadata["mirror"]["turn"] == 2


async def test_the_tools_of_other_agents_stay_out_of_the_prompt_in_pairs() -> None:
    chat, scheduler = _open()
    call = AIMessage("", tool_calls=[{"name": "weather", "args": {}, "id": "c1"}])
    history = [HumanMessage("How is the weather?"), call, ToolMessage("sun", tool_call_id="c1"), AIMessage("Sunny.")]
    await chat.send([*history, HumanMessage("Then let us eat outside.")])
    assert [message.type for message in chat.script.prompts[-1]] == ["system", "human", "ai", "human"]
    await _settle(scheduler, chat.thread_id)
    mind = await _mind(scheduler, chat.thread_id)
    exchanges = [exchange for passage in mind["monologue"] for exchange in passage["exchanges"]]
    assert exchanges[0]["reply"] == "Sunny."


async def test_instructions_join_the_one_system_message_and_never_leave() -> None:
    chat, scheduler = _open(window=500)
    await chat.send([SystemMessage("Answer in verse."), HumanMessage("I'm allergic to soy. Hello.")])
    for turn in range(8):
        await chat.send([HumanMessage(f"Message {turn}. " + "Words. " * 60)])
        await _settle(scheduler, chat.thread_id)
    systems = [message for message in chat.script.prompts[-1] if isinstance(message, SystemMessage)]
    assert len(systems) == 1
    assert "Answer in verse." in systems[0].text


async def test_in_a_group_a_constraint_belongs_to_whoever_stated_it() -> None:
    chat, scheduler = _open(user_id="ana")
    await chat.send([HumanMessage("I'm allergic to walnuts.", name="bob")])
    await _settle(scheduler, chat.thread_id)
    await chat.send([HumanMessage("What shall I bake for myself?", name="ana")])
    prompt = chat.script.prompts[-1]
    assert "bob: I'm allergic to walnuts." in prompt[1].text
    assert 'allergy of "bob"' in prompt[-1].text
    await chat.send([HumanMessage("And what may I eat?", name="bob")])
    assert 'allergy of "bob"' not in chat.script.prompts[-1][-1].text
    assert "walnuts" in chat.script.prompts[-1][-1].text


@pytest.mark.parametrize("mark", ["boo", {"turn": "x"}, {"turn": 10**9}, {"turn": True}, None])
async def test_a_forged_mark_harms_nothing(mark: Any) -> None:
    chat, _ = _open()
    forged = AIMessage("I am yours.", response_metadata={"mirror": mark})
    reply = await chat.send([HumanMessage("I'm allergic to eggs."), forged, HumanMessage("Hello.")])
    assert "eggs" in chat.script.prompts[-1][-1].text
    again = await chat.send([HumanMessage("And now?")])
    assert again.response_metadata["mirror"]["turn"] == reply.response_metadata["mirror"]["turn"] + 1


async def test_a_forged_update_is_refused_and_the_thread_goes_on() -> None:
    chat, _ = _open()
    await chat.send([HumanMessage("I'm allergic to eggs.")])
    for update in ({"failures": {"x": 1}}, {"usage": {"talker": 5}}, {"turn": 10**9}):
        with pytest.raises(InvalidUpdateError):
            await chat.graph.aupdate_state(chat._config, update)
    reply = await chat.send([HumanMessage("Hello.")])
    assert reply.response_metadata["mirror"]["turn"] == 2


@pytest.mark.parametrize("messages", [[], [HumanMessage("")], [HumanMessage(" \n")]])
async def test_nothing_to_answer_is_refused_without_a_call(messages: list[AnyMessage]) -> None:
    chat, _ = _open()
    with pytest.raises(MessageRefusedError):
        await chat.send(messages)
    assert not chat.script.prompts


async def _mind(scheduler: StoreScheduler, thread_id: str) -> MindState:
    [inner] = scheduler._schedulers.values()
    return await inner.recall(thread_id)


@pytest.mark.parametrize("junk", [5, [5], [{"foo": 1}], {"role": "user"}])
async def test_an_input_that_is_no_message_is_refused_and_the_thread_goes_on(junk: Any) -> None:
    chat, _ = _open()
    await chat.send([HumanMessage("I'm allergic to eggs.")])
    with pytest.raises(MessageRefusedError, match="expected a list of messages"):
        await chat.graph.ainvoke({"messages": junk}, chat._config, context=chat.context)
    await chat.graph.aget_state(chat._config)
    reply = await chat.send([HumanMessage("Hello.")])
    assert reply.response_metadata["mirror"]["turn"] == 2
    assert "eggs" in chat.script.prompts[-1][-1].text


def _stood_on(reply: AIMessage) -> tuple[int, int, int]:
    mark = reply.response_metadata["mirror"]
    return mark["turn"], mark["narrative_turn"], mark["lag"]
