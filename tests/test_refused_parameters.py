"""A parameter that an endpoint refuses is left out at once and from then on, or the error says what to set."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from mirror_graph import ConfigurationError, MirrorContext, open_mirror
from mirror_graph.models import chat_model, ending, refused
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.replies import component_of


@pytest.fixture(autouse=True)
def nothing_is_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "_refused", {})


class Weather(BaseModel):
    """The weather."""

    city: str


def model_of(name: str, **settings: Any) -> Any:
    return chat_model(f"openai:{name}", **{"temperature": 0.7, "max_tokens": 64, **settings})


def bounds(call: Call) -> dict[str, Any]:
    names = ("temperature", "max_tokens", "max_completion_tokens", "stream_options")
    return {name: call.body[name] for name in names if name in call.body}


async def answer_of(model: Any, streamed: bool) -> str:
    if streamed:
        return "".join([chunk.text async for chunk in model.astream("hi")])
    return str((await model.ainvoke("hi")).text)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("refuses", "sent"),
    [
        ({"temperature"}, {"max_tokens": 64}),
        ({"max_tokens"}, {"temperature": 0.7, "max_completion_tokens": 64}),
        ({"temperature", "max_tokens"}, {"max_completion_tokens": 64}),
        ({"temperature", "max_tokens", "max_completion_tokens"}, {}),
    ],
    ids=["temperature", "the old name", "as o3-mini does", "everything"],
)
async def test_what_is_refused_is_left_out_and_remembered(
    endpoint: Endpoint, refuses: set[str], sent: dict[str, Any], streamed: bool
) -> None:
    endpoint.refuses = frozenset(refuses)
    endpoint.answer = lambda call: "Good day."
    model = model_of("our-own-deployment")
    assert await answer_of(model, streamed) == "Good day."
    calls = len(endpoint.calls)
    assert await answer_of(model, streamed) == "Good day."
    assert await answer_of(model_of("our-own-deployment", max_tokens=32), not streamed) == "Good day."
    assert len(endpoint.calls) == calls + 2
    last, other = endpoint.calls[-2:]
    assert {name: value for name, value in bounds(last).items() if name != "stream_options"} == sent
    assert "temperature" in bounds(other) or "temperature" in refuses


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) is."),
        (400, "litellm.UnsupportedParamsError: o3-mini does not support parameters: ['temperature']"),
        (400, "`temperature` is deprecated for this model."),
        (422, "temperature: Extra inputs are not permitted"),
        (400, 'Unrecognized request argument supplied: "temperature"'),
    ],
)
async def test_a_refusal_is_read_as_gateways_write_it(endpoint: Endpoint, status: int, message: str) -> None:
    def refuse(call: Call) -> Answer:
        return Answer(status=status, error=message) if "temperature" in call.body else Answer("Good day.")

    endpoint.answer = refuse
    assert await answer_of(model_of("gateway"), streamed=True) == "Good day."
    assert await answer_of(model_of("gateway"), streamed=False) == "Good day."
    assert len(endpoint.calls) == 3


async def test_a_model_that_does_not_stream_is_asked_for_its_whole_answer(endpoint: Endpoint) -> None:
    endpoint.refuses = frozenset({"stream"})
    endpoint.answer = lambda call: "Good day."
    chunks = [chunk async for chunk in model_of("whole").astream("hi")]
    assert ("".join(chunk.text for chunk in chunks), len(endpoint.calls)) == ("Good day.", 2)
    assert [ending(chunk) for chunk in chunks if chunk.text] == ["stop"]
    assert chunks[0].usage_metadata is not None
    await answer_of(model_of("whole"), streamed=True)
    assert len(endpoint.calls) == 3


async def test_what_only_this_call_was_refused_for_is_not_remembered(endpoint: Endpoint) -> None:
    problem = "'max_tokens' is too large: 64. This model's maximum context length is 8192 tokens"
    refusals = iter([Answer(status=400, error=problem), Answer("Good day."), Answer("Good day.")])
    endpoint.answer = lambda call: next(refusals)
    model = model_of("short")
    assert await answer_of(model, streamed=False) == "Good day."
    assert await answer_of(model, streamed=False) == "Good day."
    assert list(bounds(endpoint.calls[-1])) == ["temperature", "max_tokens"]


async def test_an_endpoints_memory_is_of_that_endpoint_and_model(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answer = lambda call: "Good day."
    endpoint.refuses = frozenset({"temperature"})
    await answer_of(model_of("one"), streamed=False)
    endpoint.refuses = frozenset()
    await answer_of(model_of("two"), streamed=False)
    assert "temperature" in endpoint.calls[-1].body
    with Endpoint(lambda call: "Good day.") as elsewhere:
        monkeypatch.setenv("OPENAI_BASE_URL", elsewhere.url)
        await answer_of(model_of("one"), streamed=False)
        assert "temperature" in elsewhere.calls[-1].body


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_refused_for_another_reason_is_asked_once(endpoint: Endpoint, streamed: bool) -> None:
    endpoint.answer = lambda call: Answer(status=400, error="The request is broken.")
    with pytest.raises(openai.BadRequestError, match="The request is broken"):
        await answer_of(model_of("m"), streamed)
    assert len(endpoint.calls) == 1


async def test_a_parameter_is_not_forgotten_because_a_failing_call_named_it(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: Answer(status=400, error="Your words 'temperature' are not allowed here.")
    with pytest.raises(openai.BadRequestError):
        await answer_of(model_of("m"), streamed=False)
    endpoint.answer = lambda call: "Good day."
    await answer_of(model_of("m"), streamed=False)
    assert "temperature" in endpoint.calls[-1].body


@pytest.mark.parametrize(
    ("param", "advice"),
    [("temperature", "set temperature to .* None"), ("model", "set talker_model, thinker_model or synthesis_model")],
)
async def test_a_parameter_that_cannot_be_left_out_says_what_to_set(
    endpoint: Endpoint, param: str, advice: str
) -> None:
    endpoint.answer = lambda call: Answer(status=400, error=f"'{param}' is wrong", error_param=param)
    async with open_mirror(context=MirrorContext(talker_model="openai:odd")) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(ConfigurationError, match=f"openai:odd.*'{param}'.*{advice}"):
            await conversation.say("hello")
        assert [message.text for message in await conversation.messages()] == ["hello"]


async def test_no_temperature_is_sent_where_none_is_set(endpoint: Endpoint) -> None:
    async with open_mirror(context=MirrorContext(talker_model="openai:m", temperature=None, think_after=0)) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        await conversation.settle()
    assert len(endpoint.calls) == 5
    assert ["temperature" in call.body for call in endpoint.calls] == [False] * 5


async def test_a_whole_turn_works_on_a_reasoning_model(endpoint: Endpoint) -> None:
    endpoint.refuses = frozenset({"temperature", "max_tokens"})
    async with open_mirror(context=MirrorContext(talker_model="openai:gateway/o3-mini", think_after=0)) as mirror:
        conversation = mirror.conversation("t")
        stream = conversation.stream("hello")
        assert len([piece async for piece in stream]) > 1
        assert await conversation.settle(timeout=100)
        assert (await conversation.mind()).failures == {}
        before = len(endpoint.calls)
        await conversation.say("again")
        await conversation.settle()
    assert [component_of(call) for call in endpoint.calls[before:]].count("talker") == 1
    assert len(endpoint.calls) == before + 5


async def test_a_typed_answer_is_had_without_what_is_refused(endpoint: Endpoint) -> None:
    endpoint.refuses = frozenset({"temperature", "parallel_tool_calls"})
    endpoint.answer = lambda call: json.dumps({"city": "Paris"})
    for method in ("json_schema", "function_calling"):
        asking = model_of("typed").with_structured_output(Weather.model_json_schema(), method=method)
        assert await asking.ainvoke("Where? In JSON.") == {"city": "Paris"}


def test_a_call_without_a_loop_leaves_it_out_too(endpoint: Endpoint) -> None:
    endpoint.refuses = frozenset({"temperature"})
    endpoint.answer = lambda call: "Good day."
    assert model_of("sync").invoke("hi").text == "Good day."
    assert "".join(chunk.text for chunk in model_of("sync").stream("hi")) == "Good day."
    assert len(endpoint.calls) == 3
