"""What may be said, and what of a caller's config reaches the run."""

from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.errors import MessageRefusedError
from mirror_graph.models import register_script, scripted_model
from mirror_graph.scheduling import mind_thread
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies, component_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0, window_tokens=4_000)
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURE = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}


@pytest.mark.parametrize(
    "said",
    [
        [{"type": "text", "text": "What is in it?"}, PICTURE],
        ["What is in it?", PICTURE],
        HumanMessage([{"type": "text", "text": "What is in it?"}, PICTURE]),
    ],
)
async def test_a_picture_reaches_the_model(endpoint: Endpoint, replies: Replies, said: Any) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say(said)
        assert await conversation.settle(20)

    [talk] = [call for call in endpoint.calls if component_of(call) == "talker"]
    assert "image_url" in {block["type"] for block in talk.messages[-1]["content"]}
    thoughts = [call.prompt for call in endpoint.calls if component_of(call) == "goals"]
    assert all("[image]" in prompt and PIXEL not in prompt for prompt in thoughts)


async def test_a_picture_alone_is_something_to_answer(endpoint: Endpoint, replies: Replies) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        assert (await mirror.conversation("t").say([PICTURE])).turn == 1


async def test_a_message_keeps_its_name_and_its_id(endpoint: Endpoint, replies: Replies) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say(HumanMessage("I'm allergic to kiwi.", name="ben", id="m1"))
        stored = (await conversation.messages())[0]

    assert (stored.id, stored.name) == ("m1", "ben")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (5, "is of type int: expected a string, a list of content blocks or a HumanMessage"),
        (b"hello", "is of type bytes"),
        (AIMessage("I am you"), "is of type AIMessage"),
        ({"role": "user"}, "is of type dict"),
        ([5], "is of type int"),
        ([], "empty"),
        ([{"type": "text", "text": "  "}], "empty"),
        ([{"type": "text", "text": "\ud800"}], "half a character"),
        ([{"type": "text", "text": "word " * 5_000}], "half of the window"),
        ([PICTURE] * 3, "half of the window"),
        ([{**PICTURE, "base64": "A" * 7_000_001}], "scale it down"),
    ],
)
async def test_what_cannot_be_answered_is_refused_and_not_stored(said: Any, expected: str) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(MessageRefusedError, match=expected):
            await conversation.say(said)
        assert await conversation.messages() == []


class Watching(AsyncCallbackHandler):
    """Notes the tags and metadata of each model call."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], dict[str, Any]]] = []

    async def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: Any,
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.calls.append((tags or [], metadata or {}))


async def test_callbacks_tags_and_metadata_reach_the_run(endpoint: Endpoint, replies: Replies) -> None:
    watching = Watching()
    host = {"metadata": {"deployment": "blue", "thread_id": "not yours"}, "tags": ["beta"]}
    async with open_mirror(context=CONTEXT, **host) as mirror:  # type: ignore[arg-type]
        conversation = mirror.conversation("t", user_id="ana")
        config: Any = {
            "callbacks": [watching],
            "tags": ["web"],
            "metadata": {"request": "r1"},
            "run_name": "prompts_of",
        }
        config["configurable"] = {"thread_id": "another"}
        await conversation.say("Hello", config=config)
        assert await conversation.settle(20)

    [(tags, metadata)] = watching.calls  # the talker's: thinking is no part of the run
    assert {"web", "beta"} <= set(tags)
    assert (metadata["request"], metadata["deployment"]) == ("r1", "blue")
    assert metadata["thread_id"] == conversation.thread_id
    assert metadata["mirror_version"]
    assert len(metadata["mirror_user"]) == 16
    assert "ana" not in str(metadata)


async def test_a_model_object_talks_and_thinks() -> None:
    register_script("object", lambda messages: "All is well.")
    model = scripted_model("object")
    async with open_mirror(context=MirrorContext(talker_model=model, think_after=0)) as mirror:
        conversation = mirror.conversation("t")
        assert (await conversation.say("Hello")).text == "All is well."
        assert await conversation.settle(20)
        assert (await conversation.mind()).narrative == "All is well."

    assert len(model.calls) == 5


def test_any_text_names_a_thread_and_a_uuid_keeps_its_mind() -> None:
    assert mind_thread("5b5f4a51-3c0a-5d33-9d8f-6f1b1f0c2e77") == "111277ad-d5ce-5375-827b-a67cededd28b"
    names = ["thread-1", "thread-2", "", "Ærø/7", "5b5f4a51-3c0a-5d33-9d8f"]
    assert len({str(UUID(mind_thread(name))) for name in names}) == len(names)
    assert mind_thread("thread-1") == mind_thread("thread-1")
