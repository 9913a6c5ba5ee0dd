"""A picture counts as a picture, is whole or refused, and stands in the mind as no more than the word for it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph import MirrorContext, build_mirror
from mirror_graph.errors import MessageRefusedError
from mirror_graph.state.content import CALL_MEDIA_BYTES, MEDIA_BYTES, keep_newest_media, media_kind, readable
from mirror_graph.state.reducers import MESSAGE_LIMIT, merge_messages, message_tokens
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import prompts_of

CONTEXT = MirrorContext(talker_model="openai:test")
TEXT = {"type": "text", "text": "What is this?"}


def picture(size: int = 80_000) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + "Q" * size}}


FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("image", picture()),
    ("image", {"type": "image_url", "image_url": "https://example.org/a.png"}),
    ("image", {"type": "image", "base64": "Q" * 80_000, "mime_type": "image/png"}),
    ("image", {"type": "image", "source_type": "base64", "data": "Q" * 80_000, "mime_type": "image/png"}),
    ("image", {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "Q" * 80_000}}),
    ("image", {"type": "input_image", "image_url": "data:image/png;base64," + "Q" * 80_000}),
    ("image", {"type": "media", "mime_type": "image/png", "data": "Q" * 80_000}),
    ("audio", {"type": "input_audio", "input_audio": {"data": "Q" * 80_000, "format": "wav"}}),
    ("audio", {"type": "audio", "base64": "Q" * 80_000, "mime_type": "audio/wav"}),
    ("video", {"type": "video", "url": "https://example.org/a.mp4"}),
    ("file", {"type": "file", "file": {"file_data": "Q" * 80_000, "filename": "a.pdf"}}),
    ("file", {"type": "file", "base64": "Q" * 80_000, "mime_type": "application/pdf"}),
    ("file", {"type": "document", "source": {"type": "base64", "data": "Q" * 80_000}}),
    ("file", {"type": "media", "data": "Q" * 80_000}),
]


@pytest.mark.parametrize(("kind", "block"), FORMATS)
def test_each_providers_format_is_known(kind: str, block: dict[str, Any]) -> None:
    message = HumanMessage([TEXT, block])
    assert media_kind(block) == kind
    assert 1_000 <= message_tokens(message) <= 1_010
    assert readable(message) == f"What is this?\n[{kind}]"
    assert merge_messages([], [message])[0].content == [TEXT, block]


@pytest.mark.parametrize("size", [60_000, 95_000, 1_000_000, MEDIA_BYTES - 1_000])
def test_a_photo_is_stored_whole(size: int) -> None:
    [stored] = merge_messages([], [HumanMessage([TEXT, picture(size)])])
    assert stored.content == [TEXT, picture(size)]


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([picture(MEDIA_BYTES)], r"the image in the message: 7\.0 MB .* scale it down"),
        ([picture(MEDIA_BYTES - 1_000)] * 3, r"the 3 pictures or files in the message: 21\.0 MB"),
        ([picture(10)] * 33, "33 pictures or files: expected at most 32"),
    ],
)
async def test_media_that_do_not_fit_are_refused_and_forgotten(
    endpoint: Endpoint, blocks: list[Any], problem: str
) -> None:
    graph = build_mirror().compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    with pytest.raises(MessageRefusedError, match=problem) as refused:
        await graph.ainvoke({"messages": [HumanMessage([TEXT, *blocks])]}, config, context=CONTEXT)
    assert refused.value.tokens > refused.value.limit
    [stored] = (await graph.aget_state(config)).values["messages"]
    assert stored.text.startswith("What is this?[image]")
    assert endpoint.calls == []
    state = await graph.ainvoke({"messages": [HumanMessage("Never mind.")]}, config, context=CONTEXT)
    assert [message.text for message in state["messages"]] == ["Never mind.", "I hear you."]
    assert "What is this?" not in endpoint.calls[0].prompt


@given(st.lists(st.sampled_from([TEXT, picture(40), "words " * 4_000, {"type": "text", "text": "w " * 90_000}])))
def test_a_message_of_text_and_pictures_is_bounded(blocks: list[Any]) -> None:
    [stored] = merge_messages([], [HumanMessage(blocks, id="1")])
    assert message_tokens(stored) <= MESSAGE_LIMIT + len(blocks)
    assert sum(map(bool, map(media_kind, blocks))) == sum(map(bool, map(media_kind, stored.content)))  # type: ignore[arg-type]  # blocks


async def test_the_talker_sees_the_photo_and_the_thinkers_the_word(endpoint: Endpoint) -> None:
    graph = build_mirror().compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    await graph.ainvoke({"messages": [HumanMessage([TEXT, picture()])]}, config, context=CONTEXT)
    state = await graph.ainvoke({"messages": [HumanMessage([picture()])]}, config, context=CONTEXT)
    talker = [call for call in endpoint.calls if "QQQQ" in str(call.messages)]
    assert len(talker) == 2
    assert str(talker[1].messages).count("image/jpeg") == 2
    first, second = prompts_of(endpoint.calls, "goals")
    assert '"What is this? [image]"' in first or '"What is this?\\n[image]"' in first
    assert '"[image]"' in second
    assert "[…]" not in first + second
    assert "QQQQ" not in repr((state["monologue"], state["narrative"], state["constraints"]))
    assert "[image]" not in repr(state["constraints"])


def test_a_call_holds_the_newest_media_that_fit() -> None:
    large = CALL_MEDIA_BYTES // 3
    prompt = [HumanMessage([TEXT, picture(large)], id=str(place)) for place in range(4)]
    sent = [isinstance(message.content, list) for message in keep_newest_media([*prompt])]
    assert sent == [False, False, True, True]
    assert keep_newest_media([*prompt])[0].text == "What is this?\n[image]"
    assert keep_newest_media([prompt[0]]) == [prompt[0]]


@pytest.mark.parametrize(
    "messages", [[], [("user", "")], [("user", " \n ")], [HumanMessage([{"type": "text", "text": " "}])]]
)
async def test_a_graph_asks_no_model_where_there_is_nothing_to_answer(endpoint: Endpoint, messages: Any) -> None:
    graph = build_mirror().compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    with pytest.raises(MessageRefusedError, match="nothing to answer"):
        await graph.ainvoke({"messages": messages}, config, context=CONTEXT)
    assert endpoint.calls == []
    state = await graph.ainvoke({"messages": [HumanMessage("hello")]}, config, context=CONTEXT)
    assert state["messages"][-1].response_metadata["mirror"]["turn"] == 1
