"""OpenAI's protocol: real clients, and the requests of real front ends, each on the expected thread."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from openai import APIError, APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, OpenAI

from mirror_graph import Mirror, MirrorContext, open_mirror
from mirror_graph.serve.app import create_app
from mirror_graph.serve.settings import ServeSettings
from mirror_graph.testing.endpoint import Answer, Endpoint, Usage
from tests.replies import Replies, prompts_of
from tests.serving import client_of, listening

ALLERGY = "I'm severely allergic to shellfish."
RISK = "Shall I order the paella?"

ANA, BEN = "ana-key-0123456789abcdef", "ben-key-0123456789abcdef"
KEYS = ServeSettings(keys={ANA: "ana", BEN: "ben"})


class Served(NamedTuple):
    """A host, and its application."""

    mirror: Mirror
    app: FastAPI


@pytest.fixture
async def served(endpoint: Endpoint) -> AsyncIterator[Served]:
    async with open_mirror(context=MirrorContext(talker_model="openai:any", think_after=0), transcripts=True) as mirror:
        yield Served(mirror, create_app(mirror, settings=KEYS))


@pytest.fixture
async def ana(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(served.app, authorization=f"Bearer {ANA}") as client:
        yield client


@pytest.fixture
async def ben(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(served.app, authorization=f"Bearer {BEN}") as client:
        yield client


def messages_of(*texts: str) -> list[dict[str, Any]]:
    """Messages of both sides in turn, the user first."""
    return [{"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(texts)]


async def complete(
    client: httpx.AsyncClient, *texts: str, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    request = {"model": "mirror", "messages": messages_of(*texts), **body}
    return await client.post("/v1/chat/completions", json=request, headers=headers)


async def said_in(served: Served, thread: str, user: str = "ana") -> list[str]:
    """Return what was said in a thread, by both sides."""
    return [message.text for message in await served.mirror.conversation(thread, user_id=user).messages()]


@asynccontextmanager
async def openai_client(served: Served) -> AsyncIterator[AsyncOpenAI]:
    async with listening(served.app) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key=ANA, max_retries=0) as client:
        yield client


async def test_the_openai_client_gets_a_reply_its_usage_and_its_thread(served: Served, replies: Replies) -> None:
    replies.by_component["talker"] = Answer("Hello, Ana.", usage=Usage(120, 7, 64))
    async with openai_client(served) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="mirror", messages=[{"role": "user", "content": "Hi"}], temperature=0.1, max_tokens=50
        )
    completion = raw.parse()
    assert completion.choices[0].message.content == "Hello, Ana."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (120, 7)
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 64
    assert await said_in(served, raw.headers["X-Thread-Id"]) == ["Hi", "Hello, Ana."]


async def test_the_openai_client_streams_piece_by_piece(served: Served, replies: Replies) -> None:
    replies.by_component["talker"] = Answer("one two three", usage=Usage(10, 3, 0))
    async with openai_client(served) as client:
        stream = await client.chat.completions.create(
            model="mirror",
            messages=[{"role": "user", "content": "Count."}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert len([piece for piece in pieces if piece]) == 3
    assert "".join(piece or "" for piece in pieces) == "one two three"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 13


async def test_the_synchronous_client_works_and_lists_the_models(served: Served) -> None:
    def talk(url: str) -> tuple[str | None, list[str]]:
        with OpenAI(base_url=f"{url}/v1", api_key=ANA, max_retries=0) as client:
            completion = client.chat.completions.create(model="mirror", messages=[{"role": "user", "content": "Hi"}])
            names = [model.id for model in client.models.list()]
            assert client.models.retrieve("mirror").id == "mirror"
            return completion.choices[0].message.content, names

    async with listening(served.app) as url:
        assert await asyncio.to_thread(talk, url) == ("I hear you.", ["mirror", "mirror-aside"])


async def test_langchains_client_talks_in_one_thread(served: Served) -> None:
    async with listening(served.app) as url:
        headers = {"X-Thread-Id": "lunch"}
        model = ChatOpenAI(model="mirror", base_url=f"{url}/v1", api_key=lambda: ANA, default_headers=headers)
        assert (await model.ainvoke([HumanMessage(ALLERGY)])).text == "I hear you."
        pieces = [piece.text async for piece in model.astream([HumanMessage(RISK)])]
    assert "shellfish" in "".join(pieces)  # the guard's note
    assert (await said_in(served, "lunch"))[:3] == [ALLERGY, "I hear you.", RISK]


async def test_a_new_thread_with_a_history_that_holds_an_allergy_names_it(ana: httpx.AsyncClient) -> None:
    """The poisoned case: the thread is new here, and only the history says what the reply must heed."""
    answer = await complete(ana, ALLERGY, "Noted.", RISK, headers={"X-Thread-Id": "new here"})
    assert "shellfish" in answer.json()["choices"][0]["message"]["content"]
    without_id = await complete(ana, "I'm severely allergic to peanuts.", "Noted.", "Shall I order the satay?")
    assert "peanuts" in without_id.json()["choices"][0]["message"]["content"]


async def test_an_allergy_that_another_model_answered_in_a_known_chat_is_named(ana: httpx.AsyncClient) -> None:
    chat = {"X-OpenWebUI-Chat-Id": "chat"}
    await complete(ana, "Hi", headers=chat)
    history = ("Hi", "I hear you.", ALLERGY, "Another model noted it.")
    answer = await complete(ana, *history, RISK, headers=chat)
    assert "shellfish" in answer.json()["choices"][0]["message"]["content"]
    assert answer.headers["X-Thread-Id"] == "chat~2"
    # The chat stays in the new thread, and the old one is found when the client goes back to it.
    reply = answer.json()["choices"][0]["message"]["content"]
    assert (await complete(ana, *history, RISK, reply, "Thanks", headers=chat)).headers["X-Thread-Id"] == "chat~2"
    assert (await complete(ana, "Hi", "I hear you.", "Bye", headers=chat)).headers["X-Thread-Id"] == "chat"


async def test_a_client_without_ids_stays_in_its_thread(ana: httpx.AsyncClient, served: Served) -> None:
    first = await complete(ana, "Hi")
    second = await complete(ana, "Hi", " I  hear\nyou.", "Dinner?")
    third = await complete(ana, "Hi", "I hear you.", "Dinner?", "I hear you.", "Thanks")
    threads = {answer.headers["X-Thread-Id"] for answer in (first, second, third)}
    assert [len(await said_in(served, thread)) for thread in threads] == [6]


async def test_two_chats_of_the_same_words_go_on_in_two_threads(ana: httpx.AsyncClient, served: Served) -> None:
    for _ in range(2):
        await complete(ana, "Hi")
    nuts = await complete(ana, "Hi", "I hear you.", "I'm allergic to nuts.")
    milk = await complete(ana, "Hi", "I hear you.", "I hate rain.")
    assert nuts.headers["X-Thread-Id"] != milk.headers["X-Thread-Id"]
    assert await said_in(served, milk.headers["X-Thread-Id"]) == ["Hi", "I hear you.", "I hate rain.", "I hear you."]


async def test_the_same_thread_id_of_two_users_is_two_threads(
    ana: httpx.AsyncClient, ben: httpx.AsyncClient, served: Served
) -> None:
    for client, text in ((ana, ALLERGY), (ben, "Hi")):
        await complete(client, text, headers={"X-Thread-Id": "one"})
    assert await said_in(served, "one", "ben") == ["Hi", "I hear you."]
    assert (await complete(ben, "Hi", "I hear you.", RISK)).json()["choices"][0]["message"]["content"] == "I hear you."


@pytest.mark.parametrize(
    ("headers", "metadata"),
    [
        ({"X-Thread-Id": "one", "X-OpenWebUI-Chat-Id": "two"}, {"thread_id": "three"}),
        ({"X-OpenWebUI-Chat-Id": "one"}, {"thread_id": "three"}),
        ({"X-Conversation-Id": "one"}, None),
        ({}, {"thread_id": "one"}),
    ],
)
async def test_the_thread_id_is_taken_from(
    ana: httpx.AsyncClient, headers: dict[str, str], metadata: dict[str, str] | None
) -> None:
    answer = await complete(ana, "Hi", headers=headers, metadata=metadata)
    assert answer.headers["X-Thread-Id"] == "one"


@pytest.mark.parametrize("header", ["X-Thread-Id", "X-OpenWebUI-Chat-Id", "X-Conversation-Id"])
@pytest.mark.parametrize("value", ["{{CHAT_ID}}", "new", "null", "undefined", " "])
async def test_a_template_that_was_not_filled_in_is_no_thread(ana: httpx.AsyncClient, header: str, value: str) -> None:
    threads = {(await complete(ana, "Hi", headers={header: value})).headers["X-Thread-Id"] for _ in range(2)}
    assert len(threads) == 2
    assert value not in threads


async def test_a_task_that_was_not_filled_in_is_none(ana: httpx.AsyncClient) -> None:
    assert "X-Thread-Id" in (await complete(ana, "Hi", headers={"X-Task": "{{TASK}}"})).headers


class OpenWebUI:
    """The requests of Open WebUI, as it sends them with one chat id."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.headers = {"X-OpenWebUI-Chat-Id": "5f0c", "X-OpenWebUI-User-Id": "u-1"}

    async def chat(self, *texts: str, **body: Any) -> str:
        """Send the whole chat, streamed, and return the reply."""
        answer = await complete(self.client, *texts, headers=self.headers, stream=True, **body)
        assert answer.headers["X-Thread-Id"] == "5f0c"
        return text_of(answer)

    async def task(self, prompt: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Ask for a title, tags or follow-ups: one message, not streamed."""
        return await complete(
            self.client, prompt, headers={**self.headers, **(headers or {})}, stream=False, max_completion_tokens=1000
        )


def text_of(answer: httpx.Response) -> str:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    return "".join(choice["delta"].get("content", "") for line in lines for choice in json.loads(line)["choices"])


TASKS = [
    "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.",
    "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history.",
    "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next.",
]


async def test_open_webui_chats_and_its_tasks_are_no_turns(
    ana: httpx.AsyncClient, served: Served, endpoint: Endpoint
) -> None:
    front = OpenWebUI(ana)
    tools = [{"type": "function", "function": {"name": "search", "parameters": {}}}]
    assert await front.chat("Hi", tools=tools, tool_choice="auto") == "I hear you."
    endpoint.answer = lambda call: '{"title": "A greeting"}'
    for task in TASKS:
        answer = await front.task(task)
        assert answer.json()["choices"][0]["message"]["content"] == '{"title": "A greeting"}'
        assert "X-Thread-Id" not in answer.headers
    await front.task("Query: which tool?", headers={"X-Task": "function_calling"})
    assert await said_in(served, "5f0c") == ["Hi", "I hear you."]


async def test_open_webui_regenerates_and_edits_within_its_thread(
    ana: httpx.AsyncClient, served: Served, replies: Replies
) -> None:
    front = OpenWebUI(ana)
    replies.by_component["talker"] = ["First.", "Second.", "Again.", "Third.", "Beginning."]
    await front.chat("Hi")
    await front.chat("Hi", "First.", "Dinner?")
    await front.chat("Hi", "First.", "Dinner?")
    assert await said_in(served, "5f0c") == ["Hi", "First.", "Dinner?", "Again."]
    await front.chat("Hi", "First.", "Lunch?")
    assert await said_in(served, "5f0c") == ["Hi", "First.", "Lunch?", "Third."]
    await front.chat("Hello")
    assert await said_in(served, "5f0c") == ["Hello", "Beginning."]


async def test_the_aside_model_leaves_nothing_behind(ana: httpx.AsyncClient, endpoint: Endpoint) -> None:
    endpoint.answer = lambda call: "A title"
    answer = await complete(ana, ALLERGY, model="mirror-aside", headers={"X-Thread-Id": "one"})
    assert answer.json()["choices"][0]["message"]["content"] == "A title"
    assert text_of(await complete(ana, ALLERGY, model="mirror-aside", stream=True)) == "A title"
    assert (await ana.get("/v1/me/constraints")).json()["constraints"] == []


async def test_what_a_user_streams_is_a_turn_even_if_it_looks_like_a_task(ana: httpx.AsyncClient) -> None:
    answer = await complete(ana, "### Task: write a poem", stream=True)
    assert "X-Thread-Id" in answer.headers


async def test_system_messages_are_the_conversations_instructions(ana: httpx.AsyncClient, endpoint: Endpoint) -> None:
    messages = [{"role": "system", "content": "Answer in rhyme."}, *messages_of("Hi")]
    await ana.post("/v1/chat/completions", json={"model": "mirror", "messages": messages})
    assert "Answer in rhyme." in prompts_of(endpoint.calls, "talker")[0]


async def test_content_parts_reach_the_model(ana: httpx.AsyncClient, endpoint: Endpoint) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    parts = [{"type": "text", "text": "What is this?"}, image]
    body = {"model": "mirror", "messages": [{"role": "user", "content": parts}]}
    assert (await ana.post("/v1/chat/completions", json=body)).status_code == 200
    assert "iVBORw0KGgo" in json.dumps(endpoint.calls[0].messages)


REFUSED = [
    ({"n": 2}, "n"),
    ({"stop": ["\n"]}, "stop"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"logprobs": True}, "logprobs"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": [{"role": "assistant", "content": "Hi"}]}, "messages.0.role"),
    ({"messages": [{"role": "nobody", "content": "Hi"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages.0.content.0.type"),
    ({"metadata": {"thread_id": "line\nbreak"}}, "metadata.thread_id"),
    ({"metadata": {"thread_id": ""}}, "metadata.thread_id"),
    ({"metadata": {"thread_id": 7}}, "metadata.thread_id"),
]


@pytest.mark.parametrize(("change", "param"), REFUSED)
async def test_what_cannot_be_done_is_refused_by_its_name(
    ana: httpx.AsyncClient, change: dict[str, Any], param: str
) -> None:
    answer = await complete(ana, "Hi", **change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "ignored",
    [
        {"n": 1, "stop": None, "tool_choice": "auto", "response_format": {"type": "text"}, "logprobs": False},
        {"temperature": 2, "top_p": 0.1, "seed": 7, "max_tokens": 5, "user": "ben", "chat_id": "x", "tools": []},
    ],
)
async def test_what_changes_nothing_is_taken(ana: httpx.AsyncClient, ignored: dict[str, Any]) -> None:
    assert (await complete(ana, "Hi", **ignored)).status_code == 200


async def test_the_openai_client_raises_its_own_errors(served: Served, replies: Replies) -> None:
    async with openai_client(served) as client:
        with pytest.raises(BadRequestError) as too_long:
            await client.chat.completions.create(
                model="mirror", messages=[{"role": "user", "content": "word " * 100_000}]
            )
        with pytest.raises(NotFoundError) as unknown:
            await client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "Hi"}])
        replies.by_component["talker"] = Answer(status=401, error="wrong key")
        with pytest.raises(APIStatusError) as failed:
            await client.chat.completions.create(
                model="mirror", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
    assert too_long.value.code == "context_length_exceeded"
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert (failed.value.status_code, failed.value.code) == (502, "no_reply")
    assert failed.value.response.headers["X-Thread-Id"]


async def test_a_reply_that_breaks_off_ends_with_an_error_and_not_with_done(
    served: Served, ana: httpx.AsyncClient, replies: Replies
) -> None:
    replies.by_component["talker"] = Answer("one two three four", cut_after=2)
    answer = await complete(ana, "Hi", stream=True)
    assert answer.status_code == 200
    last = answer.text.strip().splitlines()[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "no_reply"
    async with openai_client(served) as client:
        stream = await client.chat.completions.create(
            model="mirror", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        with pytest.raises(APIError):
            async for _ in stream:
                pass


async def test_a_message_that_is_sent_again_after_a_failure_is_stored_once(
    ana: httpx.AsyncClient, served: Served, replies: Replies
) -> None:
    chat = {"X-OpenWebUI-Chat-Id": "chat"}
    await complete(ana, "Hi", headers=chat)
    replies.by_component["talker"] = [Answer(status=401, error="wrong key"), "Rice."]
    assert (await complete(ana, "Hi", "I hear you.", "Dinner?", headers=chat)).status_code == 502
    assert (await complete(ana, "Hi", "I hear you.", "Dinner?", headers=chat)).status_code == 200
    assert await said_in(served, "chat") == ["Hi", "I hear you.", "Dinner?", "Rice."]


async def test_a_client_without_ids_finds_its_thread_again_after_a_failure(
    ana: httpx.AsyncClient, replies: Replies
) -> None:
    first = await complete(ana, "Hi")
    replies.by_component["talker"] = [Answer(status=401, error="wrong key"), "Rice."]
    assert (await complete(ana, "Hi", "I hear you.", "Dinner?")).status_code == 502
    again = await complete(ana, "Hi", "I hear you.", "Dinner?")
    assert (again.status_code, again.headers["X-Thread-Id"]) == (200, first.headers["X-Thread-Id"])


async def test_nobody_without_a_key_talks(served: Served) -> None:
    async with client_of(served.app) as client:
        answers = [await complete(client, "Hi"), await client.get("/v1/models")]
    assert [answer.status_code for answer in answers] == [401, 401]


async def test_requests_at_once_in_one_chat_are_taken_one_after_the_other(
    ana: httpx.AsyncClient, served: Served
) -> None:
    chat = {"X-Thread-Id": "chat"}
    await asyncio.gather(*(complete(ana, f"message {number}", headers=chat) for number in range(4)))
    assert len(await said_in(served, "chat")) == 8
