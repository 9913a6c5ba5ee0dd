"""The lean chat model sends what `ChatOpenAI` sends, to the letter, and reads the same in what comes back."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_openai import ChatOpenAI
from openai.resources.chat import AsyncChat
from pydantic import BaseModel, SecretStr

from mirror_graph.models import chat_model, ending, finish_reason, refusal_text
from mirror_graph.models.compatible import CompatibleChatOpenAI
from mirror_graph.models.fast_openai import FastChatOpenAI, lean_is_possible
from mirror_graph.models.http_client import shared_client
from mirror_graph.testing.endpoint import Answer, Endpoint

TEXT = {"type": "text", "text": "What is this?"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
CALL = {"name": "look", "args": {"up": True}, "id": "call_1"}

PROMPTS: dict[str, list[BaseMessage]] = {
    "texts": [SystemMessage("Be kind."), HumanMessage("Hi."), AIMessage("Hello."), HumanMessage("Bye.")],
    "blocks": [HumanMessage([TEXT, PICTURE]), AIMessage([TEXT])],
    "names": [
        SystemMessage("Be kind.", name="host"),
        HumanMessage("Hi.", name="ana"),
        AIMessage("Hello.", name="mirror"),
    ],
    "notes of ours": [HumanMessage("Hi.", id="1"), AIMessage("", id="2", response_metadata={"mirror": {"turn": 1}})],
    "tools": [
        HumanMessage("Look."),
        AIMessage("I look.", tool_calls=[CALL]),
        ToolMessage("blue", tool_call_id="call_1"),
    ],
    "a tool without a word": [AIMessage("", tool_calls=[CALL]), ToolMessage("blue", tool_call_id="call_1")],
}

MODELS: list[dict[str, Any]] = [
    {"model": "gpt-4o-mini", "temperature": 0.7, "max_completion_tokens": 64},
    {"model": "o3-mini"},
    {"model": "m", "temperature": 0.7, "extra_body": {"max_tokens": 64}},
]


class Weather(BaseModel):
    """The weather."""

    city: str


def both(endpoint: Endpoint, **settings: Any) -> list[ChatOpenAI]:
    # Not the default client: it is cached by URL, and the next endpoint may get the port of one that is gone.
    own = {"http_async_client": shared_client(), "base_url": endpoint.url, "api_key": SecretStr("test")}
    given: dict[str, Any] = {**own, "max_retries": 0, "stream_usage": True, **settings}
    return [ChatOpenAI(**given), FastChatOpenAI(**given)]


def facts_of(message: BaseMessage) -> list[object]:
    """Return what a message says, asks for and took."""
    assert isinstance(message, AIMessage)
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    return [message.content, calls, message.usage_metadata, finish_reason(message)]


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
@pytest.mark.parametrize("settings", MODELS, ids=lambda settings: settings["model"])
async def test_a_request_is_the_same_to_the_letter(
    endpoint: Endpoint, prompt: list[BaseMessage], settings: dict[str, Any]
) -> None:
    endpoint.answer = lambda call: "Good day to you."
    replies, streams = [], []
    for model in both(endpoint, **settings):
        replies.append(facts_of(await model.ainvoke(prompt, stop=["!"])))
        streams.append([facts_of(chunk) async for chunk in model.astream(prompt)])
    stock, stock_stream, lean, lean_stream = (call.body for call in endpoint.calls)
    assert (lean, lean_stream) == (stock, stock_stream)
    assert replies[0] == replies[1]
    assert streams[0] == streams[1]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_a_typed_answer_is_asked_for_and_read_alike(endpoint: Endpoint, method: Any) -> None:
    endpoint.answer = lambda call: '{"city": "Paris"}'
    answers = []
    for model in both(endpoint, model="gpt-4o-mini"):
        asking = model.with_structured_output(Weather.model_json_schema(), method=method, include_raw=True)
        answers.append(await asking.ainvoke("Where? In JSON."))
    stock, lean = (call.body for call in endpoint.calls)
    assert lean == stock
    assert answers[1]["parsed"] == answers[0]["parsed"] == {"city": "Paris"}
    assert facts_of(answers[1]["raw"]) == facts_of(answers[0]["raw"])


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=400, error="no", error_code="context_length_exceeded"),
        Answer(status=401),
        Answer(status=429, retry_after=1),
        Answer(status=503),
        Answer("one two three", cut_after=1),
    ],
    ids=lambda answer: f"{answer.status}",
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_fails_alike(endpoint: Endpoint, answer: Answer, streamed: bool) -> None:
    endpoint.answer = lambda call: answer
    errors = []
    for model in both(endpoint, model="m"):
        with pytest.raises(openai.APIError) as raised:
            _ = [piece async for piece in model.astream("Hi.")] if streamed else await model.ainvoke("Hi.")
        errors.append((type(raised.value), getattr(raised.value, "status_code", None), str(raised.value)))
    assert errors[0] == errors[1]


async def test_labels_of_a_call_are_no_part_of_its_body(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: "Good day."
    for model in both(endpoint, model="m"):
        said = {"timeout": 5, "extra_headers": {"x-title": "MIRROR"}, "extra_query": {"version": "1"}}
        await model.bind(**said).ainvoke("Hi.")
    stock, lean = endpoint.calls
    assert lean.body == stock.body
    assert lean.headers["x-title"] == stock.headers["x-title"] == "MIRROR"


def test_a_call_without_a_loop_is_answered(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: "Good day."
    assert [model.invoke(PROMPTS["texts"]).text for model in both(endpoint, model="m")] == ["Good day."] * 2
    stock, lean = (call.body for call in endpoint.calls)
    assert lean == stock


BREAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "the function that makes options is gone": lambda patch: patch.delattr(openai._base_client, "make_request_options"),
    "it takes other options": lambda patch: patch.setattr(
        openai._base_client, "make_request_options", lambda *, headers: {}
    ),
    "the client posts another way": lambda patch: patch.setattr(openai.AsyncOpenAI, "post", lambda self, request: None),
    "the client's completions cannot be replaced": lambda patch: patch.setattr(
        AsyncChat, "completions", property(lambda self: None)
    ),
    "LangChain makes the payload another way": lambda patch: patch.setattr(
        CompatibleChatOpenAI, "_get_request_payload", lambda self, prompt: {}
    ),
}


@pytest.mark.parametrize("break_it", BREAKS.values(), ids=BREAKS.keys())
def test_where_private_parts_are_not_as_expected_one_warning_says_so(
    break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lean_is_possible.cache_clear()
    try:
        with monkeypatch.context() as patch:
            break_it(patch)
            assert [lean_is_possible() for _ in range(3)] == [False] * 3
    finally:
        lean_is_possible.cache_clear()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert openai.__version__ in caplog.text
    assert lean_is_possible()


async def test_without_the_private_parts_a_turn_works_the_plain_way(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lean_is_possible.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.delattr(openai._base_client, "make_request_options")
            plain = chat_model("openai:lean is broken", temperature=0.7, max_tokens=64)
        assert type(plain) is CompatibleChatOpenAI
        endpoint.answer = lambda call: "Good day."
        assert (await plain.ainvoke("Hi.")).text == "Good day."
        assert "".join([chunk.text async for chunk in plain.astream("Hi.")]) == "Good day."
    finally:
        lean_is_possible.cache_clear()
    assert len([record for record in caplog.records if record.name.startswith("mirror_graph")]) == 1


async def test_a_refusal_arrives_the_lean_way_and_the_plain_way(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: Answer(refusal="I would rather not.")
    given: dict[str, Any] = {"base_url": endpoint.url, "api_key": SecretStr("test"), "max_retries": 0, "model": "m"}
    for model in (FastChatOpenAI(**given), CompatibleChatOpenAI(**given)):
        whole = await model.ainvoke("Hi.")
        chunks = [chunk async for chunk in model.astream("Hi.")]
        streamed = add_ai_message_chunks(*chunks)
        assert [refusal_text(message) for message in (whole, streamed)] == ["I would rather not."] * 2
        assert ending(whole) == ending(streamed) == "refusal"
