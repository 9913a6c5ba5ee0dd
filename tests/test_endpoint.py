"""The OpenAI endpoint of the tests and benchmarks, seen through a real `ChatOpenAI`."""

import asyncio
import gc
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from mirror_graph.testing.endpoint import Answer, Endpoint, PrefixCache

pytestmark = pytest.mark.enable_socket


class Weather(BaseModel):
    """The weather."""

    city: str
    degrees: int


PARIS = Weather(city="Paris", degrees=21)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


def chat(endpoint: Endpoint, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": "test", "base_url": endpoint.url, "api_key": "test", "max_retries": 0, **options})


def usage(reply: AIMessage) -> dict[str, Any]:
    return dict(reply.usage_metadata or {})


def causes(error: BaseException | None) -> str:
    return f"{error}\n{causes(error.__cause__)}" if error else ""


async def stream(model: ChatOpenAI) -> list[AIMessageChunk]:
    return [chunk async for chunk in model.astream("Hello") if isinstance(chunk, AIMessageChunk)]


async def test_a_call_is_answered_and_recorded(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: f"You said: {call.messages[-1]['content']}"

    reply = await chat(endpoint).ainvoke([("system", "Be kind."), ("human", "Hello")])

    assert reply.text == "You said: Hello"
    assert reply.response_metadata["finish_reason"] == "stop"
    (call,) = endpoint.calls
    assert (call.model, call.stream) == ("test", False)
    assert call.messages == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    assert call.headers["authorization"] == "Bearer test"
    assert call.ended is not None
    assert call.ended >= call.started
    assert (endpoint.in_flight, endpoint.most_in_flight) == (0, 1)


def test_a_call_may_come_from_a_thread_without_a_loop(endpoint: Endpoint) -> None:
    assert chat(endpoint).invoke("Hello").text == "ok"
    assert "".join(chunk.text for chunk in chat(endpoint).stream("Hello")) == "ok"


@pytest.mark.parametrize("text", ["one two\nthree", "  spaced  out ", "", "naïve café 🙂", "half an emoji \ud83d"])
async def test_a_stream_comes_word_by_word(endpoint: Endpoint, text: str) -> None:
    endpoint.answer = lambda call: text

    chunks = await stream(chat(endpoint))

    assert "".join(chunk.text for chunk in chunks) == text
    assert sum(bool(chunk.text) for chunk in chunks) >= len(text.split())
    assert endpoint.calls[0].stream
    assert "stream_options" not in endpoint.calls[0].body


async def test_a_stream_may_come_in_pieces_that_split_words(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: Answer("<think>hm</think>", letters=4)

    assert [chunk.text for chunk in await stream(chat(endpoint)) if chunk.text] == ["<thi", "nk>h", "m</t", "hink", ">"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_reasoning_comes_in_a_field_of_its_own(endpoint: Endpoint, streamed: bool) -> None:
    endpoint.answer = lambda call: Answer("Hello", reasoning="They greet me.")
    body = {"model": "m", "messages": [], "stream": streamed}

    async with httpx.AsyncClient() as client:
        text = (await client.post(f"{endpoint.url}/chat/completions", json=body)).text

    messages = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if "{" in line]
    parts = [message["choices"][0]["delta" if streamed else "message"] for message in messages]
    assert "".join(part.get("reasoning_content") or "" for part in parts) == "They greet me."
    assert "".join(part.get("content") or "" for part in parts) == "Hello"


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_parameter_is_refused_as_openai_refuses_it(endpoint: Endpoint, streaming: bool) -> None:
    endpoint.refuses = frozenset({"temperature"})

    with pytest.raises(openai.BadRequestError, match="Unsupported parameter: 'temperature'") as refused:
        await chat(endpoint, temperature=0.7, streaming=streaming).ainvoke("Hello")

    assert (refused.value.param, refused.value.code) == ("temperature", "unsupported_parameter")
    assert (await chat(endpoint, streaming=streaming).ainvoke("Hello")).text == "ok"


async def test_a_stream_has_the_pace_that_was_set(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: Answer("one two three", delay=0.1, pause=0.05)
    started = time.monotonic()

    times = {str(chunk.text): time.monotonic() - started async for chunk in chat(endpoint).astream("Hello")}

    assert times["one "] >= 0.1
    assert times["two "] - times["one "] == pytest.approx(0.05, abs=0.04)
    assert times["three"] - times["one "] >= 0.08


@pytest.mark.parametrize("streaming", [False, True])
async def test_usage_is_what_the_answer_says_or_an_estimate(endpoint: Endpoint, streaming: bool) -> None:
    model = chat(endpoint, streaming=streaming, stream_usage=True)

    estimated = await model.ainvoke([("human", "x" * 9)])
    endpoint.answer = lambda call: Answer("ok", usage=(1000, 20, 896))
    answer = await model.ainvoke("Hello")

    assert (usage(estimated)["input_tokens"], usage(estimated)["output_tokens"]) == (3, 1)
    assert (usage(answer)["input_tokens"], usage(answer)["output_tokens"]) == (1000, 20)
    assert usage(answer)["input_token_details"] == {"cache_read": 896}
    assert endpoint.calls[0].stream is streaming


async def test_a_prompt_that_begins_like_an_earlier_one_is_partly_cached(endpoint: Endpoint) -> None:
    async def cached(model: str, *texts: str) -> Any:
        reply = await chat(endpoint, model=model).ainvoke([("human", text) for text in texts])
        return usage(reply)["input_token_details"]["cache_read"]

    assert await cached("a", "x" * 2000) == 0
    assert await cached("a", "x" * 2000, "and more") == 384
    assert await cached("a", "y" * 2000, "and more") == 0
    assert await cached("b", "x" * 2000) == 0


def test_the_cache_counts_the_longest_common_prefix_in_whole_blocks() -> None:
    cache = PrefixCache()
    prompt = "".join(map(str, range(2000)))
    assert cache.add("m", prompt) == 0
    for length in (0, 511, 512, 513, 1024, 4000):
        assert cache.add("m", prompt[:length] + "#" * 100) == length // 512 * 128


def test_the_cache_forgets_what_was_not_used_for_long() -> None:
    cache = PrefixCache(blocks=4)
    for prompt in ("a", "b", "a", "c"):
        cache.add("m", prompt * 1024)
    assert cache.add("m", "a" * 1024) == 256
    assert cache.add("m", "b" * 1024) == 0


def test_the_cache_is_quick_with_long_prompts() -> None:
    cache = PrefixCache()
    prompt = "the inner life of a chat model " * 2600
    for number in range(300):
        cache.add("m", f"{number} {prompt}")
    started = time.thread_time()  # of this thread alone: other programs do not count
    for number in range(100):
        assert cache.add("m", f"{number + 200} {prompt}") > 19_000
    assert (time.thread_time() - started) / 100 < 0.004


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # langchain-openai, streaming a parsed reply
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
async def test_structured_output_is_read_by_every_method(endpoint: Endpoint, method: Any, streaming: bool) -> None:
    endpoint.answer = lambda call: PARIS.model_dump_json()

    model = chat(endpoint, streaming=streaming).with_structured_output(Weather, method=method)

    assert await model.ainvoke("The weather as JSON?") == PARIS


async def test_a_forced_tool_gets_the_text_as_its_arguments_unless_the_answer_is_plain(endpoint: Endpoint) -> None:
    for tool_choice in ("Weather", "any"):
        model = chat(endpoint).bind_tools([Weather], tool_choice=tool_choice)
        endpoint.answer = lambda call: PARIS.model_dump_json()
        assert [call["args"] for call in (await model.ainvoke("Weather?")).tool_calls] == [PARIS.model_dump()]
        endpoint.answer = lambda call: '{"city": "Par'
        assert (await model.ainvoke("Weather?")).invalid_tool_calls[0]["args"] == '{"city": "Par'
        endpoint.answer = lambda call: Answer("Sunny.", plain=True)
        assert (await model.ainvoke("Weather?")).text == "Sunny."


async def test_an_offered_tool_is_not_called(endpoint: Endpoint) -> None:
    reply = await chat(endpoint).bind_tools([Weather]).ainvoke("Hello")

    assert (reply.text, reply.tool_calls) == ("ok", [])


@pytest.mark.parametrize("streaming", [False, True])
async def test_broken_json_reaches_the_client(endpoint: Endpoint, streaming: bool) -> None:
    endpoint.answer = lambda call: '{"city": "Par'
    model = chat(endpoint, streaming=streaming).with_structured_output(Weather, method="json_schema")

    with pytest.raises(ValueError, match="Invalid JSON"):
        await model.ainvoke("Weather?")


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_refusal_reaches_the_client(endpoint: Endpoint, streaming: bool) -> None:
    endpoint.answer = lambda call: Answer(refusal="I would rather not.")
    model = chat(endpoint, streaming=streaming).with_structured_output(Weather, method="json_schema", include_raw=True)

    answer = await model.ainvoke("Weather?")

    assert answer["raw"].additional_kwargs["refusal"] == "I would rather not."
    assert answer["parsed"] is None


@pytest.mark.filterwarnings("ignore:This model does not support")  # langchain-openai, reading the refusal's words
@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
async def test_what_is_not_supported_is_refused(method: Any) -> None:
    with Endpoint(supports=frozenset()) as endpoint:
        assert (await chat(endpoint).ainvoke("Hello")).text == "ok"
        with pytest.raises(openai.BadRequestError, match="is not supported with this model"):
            await chat(endpoint).with_structured_output(Weather, method=method).ainvoke("As JSON?")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_status_becomes_the_error_of_that_name(
    endpoint: Endpoint, status: int, error: type[openai.APIStatusError], streaming: bool
) -> None:
    endpoint.answer = lambda call: Answer(status=status, error="No luck.", error_code="bad_luck")

    with pytest.raises(error, match=r"No luck\.") as raised:
        await chat(endpoint, streaming=streaming).ainvoke("Hello")

    assert raised.value.status_code == status
    assert raised.value.code == "bad_luck"


async def test_a_client_waits_as_long_as_the_endpoint_asks_before_it_tries_again(endpoint: Endpoint) -> None:
    answers = iter([Answer(status=429, retry_after=0.2), Answer("at last")])
    endpoint.answer = lambda call: next(answers)

    assert (await chat(endpoint, max_retries=1).ainvoke("Hello")).text == "at last"

    first, second = endpoint.calls
    assert 0.2 <= second.started - first.started < 0.5


@pytest.mark.parametrize("words", [0, 1, 2, 99])
async def test_a_cut_stream_breaks_after_that_many_words(endpoint: Endpoint, words: int) -> None:
    endpoint.answer = lambda call: Answer("one two three", cut_after=words)
    seen: list[str] = []

    async def listen() -> None:
        async for chunk in chat(endpoint).astream("Hello"):
            seen.append(chunk.text)

    with pytest.raises(openai.APIConnectionError) as raised:
        await listen()

    assert "incomplete chunked read" in causes(raised.value)
    assert [text for text in seen if text] == ["one ", "two ", "three"][:words]
    assert endpoint.in_flight == 0


async def test_a_cut_reply_breaks_the_call(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: Answer("one two three", cut_after=2)

    with pytest.raises(openai.APIConnectionError) as raised:
        await chat(endpoint).ainvoke("Hello")

    assert "incomplete chunked read" in causes(raised.value)


@pytest.mark.parametrize("reason", ["length", "content_filter", None])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_reply_ends_for_the_reason_that_was_set(
    endpoint: Endpoint, reason: str | None, streaming: bool
) -> None:
    endpoint.answer = lambda call: Answer("one two", finish_reason=reason)

    reply = await chat(endpoint, streaming=streaming).ainvoke("Hello")

    assert reply.text == "one two"
    assert reply.response_metadata.get("finish_reason") == reason


async def test_a_stream_is_spelled_as_openai_spells_it(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: "Hello you"
    body = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}

    async with httpx.AsyncClient() as client:
        response = await client.post(f"{endpoint.url}/chat/completions", json=body)

    assert response.headers["content-type"] == "text/event-stream"
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {(chunk["object"], chunk["model"], chunk["id"]) for chunk in chunks} == {
        ("chat.completion.chunk", "m", chunks[0]["id"])
    }
    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hello "},
        {"content": "you"},
        {},
    ]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [None, None, None, "stop"]
    assert [chunk["usage"] and chunk["usage"]["completion_tokens"] for chunk in chunks] == [None, None, None, None, 3]


async def test_the_models_can_be_listed(endpoint: Endpoint) -> None:
    async with openai.AsyncOpenAI(base_url=endpoint.url, api_key="test") as client:
        assert [model.object async for model in client.models.list()] == ["model"]


async def test_an_answer_that_raises_fails_the_call_and_the_block() -> None:
    async def call_in_vain() -> None:
        with Endpoint(lambda call: pytest.fail("no call was expected")) as endpoint:
            with pytest.raises(openai.UnprocessableEntityError, match="no call was expected"):
                await chat(endpoint, max_retries=2).ainvoke("Hello")
            assert len(endpoint.calls) == 1

    with pytest.raises(pytest.fail.Exception, match="no call was expected"):
        await call_in_vain()


async def test_a_client_that_leaves_ends_its_call(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: Answer("never", delay=60)
    for streaming in (False, True):
        with pytest.raises(openai.APITimeoutError):
            await chat(endpoint, timeout=0.1, streaming=streaming).ainvoke("Hello")

    async with asyncio.timeout(30):
        while endpoint.in_flight:  # noqa: ASYNC110 - the endpoint counts in its own thread
            await asyncio.sleep(0.01)
    assert all(call.ended is not None for call in endpoint.calls)


async def test_five_hundred_calls_wait_at_once(endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: Answer("ok", delay=2)
    url = httpx.URL(endpoint.url)
    body = b'{"model": "m", "messages": []}'
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )

    async def call() -> bytes:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(head.encode() + body)
        reply = await reader.read()
        writer.close()
        await writer.wait_closed()
        return reply

    replies = await asyncio.gather(*(call() for _ in range(500)))

    assert all(b'"content": "ok"' in reply for reply in replies)
    assert endpoint.most_in_flight == 500
    assert max(call.ended - call.started for call in endpoint.calls if call.ended) < 4


async def test_a_client_that_leaves_in_the_middle_of_its_request_makes_no_call_and_no_noise(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    url = httpx.URL(endpoint.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\ncontent-length: 99\r\n\r\n{")
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.1)

    assert (endpoint.calls, caplog.records) == ([], [])


async def test_stopping_hangs_up_on_whoever_still_waits(caplog: pytest.LogCaptureFixture) -> None:
    with Endpoint(lambda call: Answer("one two three", delay=0 if call.stream else 60, pause=60)) as endpoint:
        model = chat(endpoint)
        waiting = [asyncio.create_task(call) for call in (model.ainvoke("Hello"), stream(model))]
        async with asyncio.timeout(30):
            while endpoint.in_flight < 2:  # noqa: ASYNC110 - the endpoint counts in its own thread
                await asyncio.sleep(0.01)
        stopped = time.monotonic()

    assert time.monotonic() - stopped < 30  # and not the 60 seconds of the answer
    failures = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(failure, openai.APIConnectionError) for failure in failures)
    assert endpoint.in_flight == 0
    del endpoint, model, waiting, failures
    gc.collect()  # an unclosed socket would warn here
    assert caplog.records == []


def test_starting_and_stopping_take_no_time() -> None:
    started = time.process_time()
    for _ in range(10):
        with Endpoint():
            pass
    assert time.process_time() - started < 1


def test_it_can_be_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "mirror_graph.testing.endpoint", "--words", "3", "--delay", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        model = ChatOpenAI(model="test", base_url=server.stdout.readline().strip(), api_key=SecretStr("test"))
        try:
            assert model.invoke("Hello").text.split() == ["word"] * 3
        finally:
            server.kill()


def test_the_example_of_the_page_on_testing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parent.parent.joinpath("docs", "testing.md").read_text()
    [program] = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    exec(program, {"__name__": "__main__"})
    reply, *prompt = capsys.readouterr().out.splitlines()
    assert reply == "I hear you."
    assert prompt[-1] == "I'm allergic to peanuts."


async def test_an_answer_that_is_held_back_comes_once_it_is_released(endpoint: Endpoint) -> None:
    release = threading.Event()
    endpoint.answer = lambda call: Answer("at last", hold=release)
    asking = asyncio.create_task(chat(endpoint).ainvoke("hi"))
    while not endpoint.calls:  # noqa: ASYNC110  # a thread serves
        await asyncio.sleep(0.01)
    assert not asking.done()
    release.set()
    assert (await asking).text == "at last"


CALL = {"id": "call-1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
FOUND = {"role": "tool", "tool_call_id": "call-1", "content": "found"}


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([ASKED, FOUND], 200),
        ([ASKED, FOUND, {"role": "assistant", "content": "Found."}], 200),
        ([ASKED], 400),
        ([ASKED, {"role": "user", "content": "Well?"}], 400),
        ([FOUND], 400),
        ([ASKED, FOUND, FOUND], 400),
        ([{"role": "user", "name": "ana maria", "content": "Hello"}], 400),
        ([{"role": "user", "name": "ana", "content": "Hello"}], 200),
    ],
)
async def test_messages_are_refused_as_openai_refuses_them(
    endpoint: Endpoint, messages: list[dict[str, Any]], status: int
) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{endpoint.url}/chat/completions", json={"model": "m", "messages": messages})

    assert answer.status_code == status
    assert len(endpoint.refused) == (status != 200)


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_model_may_call_tools_of_its_own_accord(endpoint: Endpoint, streaming: bool) -> None:
    endpoint.answer = lambda call: Answer("Let me see.", calls=[("look", {"at": "it"}), ("look", {"at": "her"})])

    model = chat(endpoint)
    chunks = await stream(model) if streaming else [await model.ainvoke("Hello")]

    whole: Any = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert whole.text == "Let me see."
    assert [(made["name"], made["args"]) for made in whole.tool_calls] == [
        ("look", {"at": "it"}),
        ("look", {"at": "her"}),
    ]
    assert whole.response_metadata["finish_reason"] == "tool_calls"
