"""A model's reasoning reaches neither a reader nor a mind, whatever pieces it comes in; the whole answer does."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from mirror_graph import MirrorContext, build_mirror, build_talker, open_mirror
from mirror_graph.calls import model_call
from mirror_graph.errors import ReplyError
from mirror_graph.models import chat_model, register_model, visible_model
from mirror_graph.models.reasoning import ReasoningFilter, without_reasoning
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.replies import Replies, component_of, prompts_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0)


@pytest.fixture(autouse=True)
def nothing_is_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_call, "_reasoning_models", set())


SECRET = "XYZZY"

FRAGMENTS = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<Thinking kind='long'>",
        "< / reasoning >",
        "<reasoning>",
        "[THINK]",
        "[/THINK]",
        "<think/>",
        "<",
        "<th",
        "</",
        "[",
        "\n",
        " ",
        "`",
        "```",
        "```\n",
        "~~~\n",
        "word",
        "One. ",
        "<b>",
        "a < b",
    ]
)


def in_pieces(text: str, sizes: list[int]) -> str:
    """Return what a reader has in the end of `text`, streamed in pieces of these sizes, over and over."""
    reasoning = ReasoningFilter()
    shown = ""
    while text:
        size = sizes[0]
        sizes = [*sizes[1:], size]
        piece = reasoning.feed(text[:size])
        shown = piece.text if piece.restarts else shown + piece.text
        text = text[size:]
    return shown + reasoning.end()


@given(st.lists(FRAGMENTS, max_size=14).map("".join), st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_any_split_of_a_text_shows_the_same(text: str, sizes: list[int]) -> None:
    assert in_pieces(text, sizes) == without_reasoning(text)


@given(st.text(), st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_a_text_without_tags_is_shown_to_the_letter(text: str, sizes: list[int]) -> None:
    text = text.replace("<", "(").replace("[", "(")
    assert in_pieces(text, sizes) == text


PROSE = st.text(st.characters(exclude_characters="<>[]`~", exclude_categories=["Cs"]))


@given(before=PROSE, reasoned=PROSE, after=PROSE, name=st.sampled_from(["think", "THINK", "thinking", "reasoning"]))
def test_what_stands_between_the_tags_is_never_shown(before: str, reasoned: str, after: str, name: str) -> None:
    shown = without_reasoning(f"{before}<{name}>{reasoned}{SECRET}</{name}>{after}")
    assert SECRET not in shown
    assert shown.split() == f"{before} {after}".split() or shown.split() == f"{before}{after}".split()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<think>hm</think>\n\nHello.", "Hello."),
        ("  \n<think>hm</think> Hello.", "Hello."),
        ("Sure. <think>hm</think> Hello.", "Sure. Hello."),
        ("<think>one</think>A. <thinking>two</thinking>B.", "A. B."),
        ("<think>never closed. Hello.", ""),
        ("Sure.\n<think>never closed", "Sure.\n"),
        ("the prompt opened it\n</think>\n\nHello.", "Hello."),
        ("<think>the user asks about <think> tags</think>Hello.", "Hello."),
        ("[THINK]hm[/THINK]Hello.", "Hello."),
        # A tag that is talked about is a part of the answer.
        ("Write `<think>` and `</think>` around it.", "Write `<think>` and `</think>` around it."),
        ("```\n<think>\nhm\n</think>\n```\nSo.", "```\n<think>\nhm\n</think>\n```\nSo."),
        ("~~~xml\n<think>\n~~~\n<think>hm</think>So.", "~~~xml\n<think>\n~~~\nSo."),
        ("The <think> tag opens it.", "The <think> tag opens it."),
        ("if a <think and b > c", "if a <think and b > c"),
        ("<thinker>one</thinker>", "<thinker>one</thinker>"),
    ],
)
def test_tags_are_distinguished_from_words(text: str, shown: str) -> None:
    assert without_reasoning(text) == shown
    assert in_pieces(text, [1]) == shown


def test_a_long_stream_takes_time_that_grows_with_its_length_alone() -> None:
    reasoning = ReasoningFilter()
    for _ in range(20_000):
        reasoning.feed("<think>word ")
    assert len(reasoning._waiting) < 1_000


async def everything_stored(conversation: Any) -> str:
    return repr((await conversation.messages(), await conversation.mind(), await conversation.history()))


REASONED = [
    Answer(f"<think>\nThey want {SECRET}.\n</think>\n\nI hear you.", letters=3),
    Answer(f"<think>They want {SECRET}.</think>I hear you.", letters=1),
    Answer(f"<Reasoning>{SECRET}</Reasoning> I hear <thinking>{SECRET}</thinking>you."),
    Answer("I hear you.", reasoning=f"They want {SECRET}."),
]


@pytest.mark.parametrize("answer", REASONED, ids=["pieces", "letters", "other tags", "a field of its own"])
async def test_reasoning_reaches_neither_reply_nor_mind(endpoint: Endpoint, replies: Replies, answer: Answer) -> None:
    replies.by_component |= dict.fromkeys(("talker", "goals", "reasoning", "memory", "synthesis"), answer)
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        stream = conversation.stream("hello")
        pieces = [piece async for piece in stream]
        assert await conversation.settle(timeout=100)
        mind = await conversation.mind()
        stored = await everything_stored(conversation)
    assert "".join(pieces) == stream.reply.text == mind.narrative == "I hear you."
    assert set(mind.thoughts.values()) == {"I hear you."}
    assert SECRET not in stored
    assert len(pieces) > 1


@pytest.mark.parametrize("answer", REASONED, ids=["pieces", "letters", "other tags", "a field of its own"])
@pytest.mark.parametrize("build", [build_talker, build_mirror])
async def test_a_graphs_stream_shows_no_reasoning(
    endpoint: Endpoint, replies: Replies, answer: Answer, build: Any
) -> None:
    replies.by_component["talker"] = answer
    graph = build().compile(checkpointer=InMemorySaver(), store=InMemoryStore())
    config: Any = {"configurable": {"thread_id": str(uuid4())}}
    context = MirrorContext(talker_model="openai:test", thinking="off")
    events = graph.astream({"messages": [HumanMessage("hello")]}, config, context=context, stream_mode="messages")
    streamed = [message async for message, _ in events]
    assert "".join(message.text for message in streamed) == "I hear you."
    assert SECRET not in repr(streamed)


async def test_a_question_about_the_tag_is_answered_in_full(endpoint: Endpoint, replies: Replies) -> None:
    answer = "It opens with `<think>`:\n\n```\n<think>\nhm\n</think>\n```\n\nand ends there."
    replies.by_component["talker"] = Answer(answer, letters=4)
    async with open_mirror(context=CONTEXT) as mirror:
        stream = mirror.conversation("t").stream("What does <think> mean?")
        assert "".join([piece async for piece in stream]) == answer == stream.reply.text


async def test_a_reply_that_is_only_reasoning_is_an_empty_one(
    endpoint: Endpoint, replies: Replies, quick_retries: None
) -> None:
    replies.by_component["talker"] = "<think>I never come to the point."
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(ReplyError, match="an empty reply"):
            await conversation.say("hello")
        assert [message.text for message in await conversation.messages()] == ["hello"]
    assert len(prompts_of(endpoint.calls, "talker")) == 3


async def test_a_reply_whose_reasoning_uses_up_the_bound_is_not_paid_for_again(
    endpoint: Endpoint, replies: Replies, quick_retries: None
) -> None:
    replies.by_component["talker"] = Answer("<think>I never come to the point.", finish_reason="length")
    async with open_mirror(context=CONTEXT) as mirror:
        with pytest.raises(ReplyError, match="used up its 4,096 tokens"):
            await mirror.conversation("t").say("hello")
    assert len(endpoint.calls) == 1


@pytest.mark.parametrize("thinking", ["parallel", "joint"])
async def test_thinkers_that_reason_get_room_for_it(endpoint: Endpoint, replies: Replies, thinking: Any) -> None:
    def reasoned(call: Call) -> Answer | str:
        short = call.model == "reasons" and call.body["max_tokens"] < 8_000
        return Answer("", finish_reason="length") if short else replies(call)

    endpoint.answer = reasoned
    context = MirrorContext("openai:test", "openai:reasons", "openai:reasons", thinking=thinking, think_after=0)
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        for turn in (1, 2):
            await conversation.say(f"hello {turn}")
            assert await conversation.settle(timeout=100)
            mind = await conversation.mind()
            assert (mind.failures, mind.thoughts.keys()) == ({}, {"goals", "reasoning", "memory"})
    thinkers = 2 if thinking == "joint" else 4
    short = [call for call in endpoint.calls if call.model == "reasons" and call.body["max_tokens"] < 8_000]
    assert 1 <= len(short) <= thinkers, "once a thinker, and in the first pass alone"
    assert len(endpoint.calls) == 2 + 2 * thinkers + len(short)


async def test_a_thinker_that_reasons_without_end_is_asked_twice(
    endpoint: Endpoint, replies: Replies, quick_retries: None
) -> None:
    replies.by_component["goals"] = Answer("<think>I never come to the point.", finish_reason="length")
    context = MirrorContext("openai:test", "openai:reasons without end", "openai:test", think_after=0)
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        for turn in (1, 2):
            await conversation.say(f"hello {turn}")
            await conversation.settle()
        assert (await conversation.mind()).failures["goals"]["count"] == 2
    assert [call.body["max_tokens"] for call in endpoint.calls if component_of(call) == "goals"] == [400, 8_592, 8_592]


async def test_a_model_that_begins_within_its_reasoning_is_held_back_once_it_is_known(
    endpoint: Endpoint, replies: Replies
) -> None:
    context = MirrorContext(talker_model="openai:begins within", thinking="off")
    replies.by_component["talker"] = Answer(f"They want {SECRET}.\n</think>\n\nI hear you.", letters=3)
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        assert (await conversation.say("one")).text == "I hear you."
        stream = conversation.stream("two")
        pieces = [piece async for piece in stream]
        assert "".join(pieces) == stream.reply.text == "I hear you."
        assert SECRET not in await everything_stored(conversation)
        replies.by_component["talker"] = "No thought this time."
        assert "".join([piece async for piece in conversation.stream("three")]) == "No thought this time."
        assert len([piece async for piece in conversation.stream("four")]) > 1


class Blocks(BaseChatModel):
    """Answers in content blocks, as Anthropic's models do, and in fields, as DeepSeek's do."""

    streams: bool = True

    @property
    def _llm_type(self) -> str:
        return "blocks"

    def _should_stream(self, **kwargs: Any) -> bool:  # type: ignore[override]  # whatever it is asked
        return self.streams

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        content: Any = [{"type": "thinking", "thinking": SECRET}, {"type": "text", "text": "I hear you."}]
        message = AIMessage(content, additional_kwargs={"reasoning_content": SECRET})
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        parts: list[Any] = [
            [{"type": "thinking", "thinking": SECRET, "index": 0}],
            [{"type": "reasoning", "reasoning": SECRET, "index": 0}],
            [{"type": "text", "text": "I hear ", "index": 1}],
            [{"type": "text", "text": "you.", "index": 1}],
        ]
        for content in parts:
            message = AIMessageChunk(content=content, additional_kwargs={"reasoning_content": SECRET})
            yield ChatGenerationChunk(message=message)


@pytest.mark.parametrize("streams", [True, False])
async def test_thinking_blocks_and_fields_are_not_shown(streams: bool) -> None:
    name = register_model(f"blocks that stream: {streams}", Blocks(streams=streams))
    async with open_mirror(context=MirrorContext(talker_model=name, think_after=0)) as mirror:
        conversation = mirror.conversation("t")
        stream = conversation.stream("hello")
        assert "".join([piece async for piece in stream]) == stream.reply.text == "I hear you."
        assert await conversation.settle(timeout=100)
        assert SECRET not in await everything_stored(conversation)
    graph = build_mirror().compile()
    given: Any = {"messages": [HumanMessage("hello")]}
    events = graph.astream(given, context=MirrorContext(talker_model=name, thinking="off"), stream_mode="messages")
    assert SECRET not in repr([message async for message, _ in events])


async def test_a_visible_model_is_the_model_it_stands_around(endpoint: Endpoint) -> None:
    settings: dict[str, Any] = {"temperature": 0.7, "max_tokens": 64}
    plain, visible = chat_model("openai:test", **settings), visible_model("openai:test", **settings)
    assert visible is visible_model("openai:test", **settings)
    assert visible._get_ls_params() == plain._get_ls_params()
    assert visible._llm_type == plain._llm_type
    endpoint.answer = lambda call: f"<think>{SECRET}</think>I hear you."
    assert (await visible.ainvoke("hello")).text == visible.invoke("hello").text == "I hear you."
