"""Names become models, failures are told apart, scripts are followed, and the real engine answers."""

import asyncio
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel

from mirror_graph.errors import CallError, ConfigurationError, ModelFileError
from mirror_graph.models import (
    chat_model,
    finish_reason,
    is_complete,
    is_transient,
    register_model,
    register_script,
    scripted_model,
    stop_local_models,
)
from mirror_graph.models.scripted import CALLS
from mirror_graph.models.weights import CATALOGUE, DEFAULT_MODEL, models_folder


def model_of(name: str | BaseChatModel) -> BaseChatModel:
    return chat_model(name, temperature=0.7, max_tokens=64)


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MIRROR_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)


# Names


@pytest.mark.parametrize("name", ["", "gpt-4o-mini", "openai:", ":gpt", "nobody:knows-it"])
def test_an_unknown_name_is_refused_with_what_was_expected(name: str) -> None:
    with pytest.raises(ConfigurationError, match="expected openai:NAME, local:NAME, scripted:NAME or PROVIDER:NAME"):
        model_of(name)


def test_a_missing_key_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY=none"):
        model_of("openai:gpt-4o-mini")


def test_an_unknown_script_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="'echo'"):
        model_of("scripted:nowhere")


def test_an_unknown_local_model_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"qwen2.5-coder-1.5b, smollm2-135m or a PATH.gguf"):
        model_of("local:nowhere")


def test_a_local_model_that_was_not_downloaded_says_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRROR_CACHE_DIR", str(tmp_path))
    with pytest.raises(ModelFileError, match="mirror model pull smollm2-135m"):
        model_of("local:smollm2-135m")


def test_a_path_to_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model file"):
        model_of(f"local:{tmp_path}/absent.gguf")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "xllamacpp" else known(name, *rest)
    )
    with pytest.raises(ConfigurationError, match=r"pip install 'mirror-graph\[local\]'"):
        model_of("local:smollm2-135m")


def test_other_providers_come_from_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def init_chat_model(name: str, **settings: object) -> BaseChatModel:
        asked.append((name, settings))
        if name.startswith("nobody:"):
            raise ValueError("Unsupported provider")
        return scripted_model("echo")

    found = SimpleNamespace(init_chat_model=init_chat_model)
    known = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: SimpleNamespace() if name == "langchain" else known(name, *rest),
    )
    monkeypatch.setitem(sys.modules, "langchain", ModuleType("langchain"))
    monkeypatch.setitem(sys.modules, "langchain.chat_models", found)  # type: ignore[arg-type]  # a stand-in

    assert model_of("anthropic:claude-haiku") is scripted_model("echo")
    assert asked == [("anthropic:claude-haiku", {"temperature": 0.7, "max_tokens": 64})]
    with pytest.raises(ConfigurationError, match=r"unknown model 'nobody:knows'.*Unsupported provider"):
        model_of("nobody:knows")


def test_a_registered_function_makes_a_model_for_each_use_and_once() -> None:
    made: list[tuple[float, int]] = []

    def make(temperature: float, max_tokens: int) -> FakeListChatModel:
        made.append((temperature, max_tokens))
        return FakeListChatModel(responses=["yes"])

    name = register_model("made", make)
    thinker, talker = (chat_model(name, temperature=0.7, max_tokens=bound) for bound in (400, 4_000))
    assert chat_model(name, temperature=0.7, max_tokens=400) is thinker is not talker
    assert made == [(0.7, 400), (0.7, 4_000)]


def test_a_model_object_stands_for_itself() -> None:
    model = scripted_model("echo")
    assert model_of(model) is model


def test_the_same_arguments_give_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "one")
    first = model_of("openai:gpt-4o-mini")
    assert model_of("openai:gpt-4o-mini") is first
    assert chat_model("openai:gpt-4o-mini", temperature=0.0, max_tokens=64) is not first
    monkeypatch.setenv("OPENAI_API_KEY", "two")
    assert model_of("openai:gpt-4o-mini") is not first
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert model_of("openai:gpt-4o-mini").openai_api_base == "http://127.0.0.1:1/v1"  # type: ignore[attr-defined]  # a ChatOpenAI


# An endpoint: asyncio's own server, which says what the test tells it to


class Endpoint:
    """Speak just enough HTTP to stream pieces of a reply, and keep the requests."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.pieces: list[str] = []
        self.answer: Callable[[], str | None] = lambda: None
        self.waiting_for = 0
        self.together = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1]) for line in asked.split(b"\r\n") if b"content-length" in line.lower()
                )
                self.requests.append(json.loads(await reader.readexactly(length)))
                if len(self.requests) >= self.waiting_for:
                    self.together.set()
                await self.together.wait()
                body = "".join(f"data: {piece}\n\n" for piece in self.pieces)
                head = f"Content-Type: text/event-stream\r\nContent-Length: {len(body)}"
                writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def piece(content: str | None = None, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    return json.dumps({"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]})


WHOLE = [piece("hel"), piece("lo"), piece(finish="stop"), "[DONE]"]


class Serving:
    """Run an endpoint for the length of a block and point `openai:` at it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pieces: list[str]) -> None:
        self.monkeypatch = monkeypatch
        self.pieces = pieces

    async def __aenter__(self) -> Endpoint:
        endpoint = Endpoint()
        endpoint.pieces = self.pieces
        self.server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, backlog=1024)
        port = self.server.sockets[0].getsockname()[1]
        self.monkeypatch.setenv("OPENAI_API_KEY", "none")
        self.monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        return endpoint

    async def __aexit__(self, *_: object) -> None:
        self.server.close()


async def whole(pieces: AsyncIterator[AIMessageChunk]) -> AIMessageChunk:
    message = await anext(pieces)
    async for later in pieces:
        message += later
    return message


async def test_an_endpoint_is_asked_under_the_name_its_bound_has_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Serving(monkeypatch, WHOLE) as endpoint:
        message = await whole(model_of("openai:m").astream("hi"))
    assert (message.content, finish_reason(message), is_complete(message)) == ("hello", "stop", True)
    [request] = endpoint.requests
    assert request["max_tokens"] == 64
    assert "max_completion_tokens" not in request
    assert request["stream_options"] == {"include_usage": True}


async def test_a_stream_that_just_closes_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Serving(monkeypatch, WHOLE[:2]):
        message = await whole(model_of("openai:m").astream("hi"))
    assert (message.content, finish_reason(message), is_complete(message)) == ("hello", None, False)


async def test_an_error_inside_a_stream_is_recognised_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Serving(monkeypatch, [WHOLE[0], json.dumps({"error": {"message": "gone", "code": 502}})]):
        with pytest.raises(Exception, match="gone") as raised:
            await whole(model_of("openai:m").astream("hi"))
    assert is_transient(raised.value)


async def test_an_endpoint_that_is_not_there_is_a_passing_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Serving(monkeypatch, []):
        pass
    with pytest.raises(Exception, match="Connection error") as raised:
        await model_of("openai:m").ainvoke("hi")
    assert is_transient(raised.value)


async def test_an_address_that_is_none_is_a_lasting_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8000/v1")
    with pytest.raises(Exception, match="Connection error") as raised:
        await model_of("openai:m").ainvoke("hi")
    assert not is_transient(raised.value)


async def test_hundreds_of_calls_are_under_way_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Serving(monkeypatch, WHOLE) as endpoint:
        endpoint.waiting_for = 300
        model = model_of("openai:m")
        replies = await asyncio.gather(*(whole(model.astream("hi")) for _ in range(300)))
    assert {reply.text for reply in replies} == {"hello"}


def test_a_model_outlives_its_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    models: set[int] = set()

    async def converse(port: int) -> int:
        endpoint = Endpoint()
        endpoint.pieces = WHOLE
        server = await asyncio.start_server(endpoint.serve, "127.0.0.1", port)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        model = model_of("openai:m")
        models.add(id(model))
        for _ in range(2):
            assert (await whole(model.astream("hi"))).content == "hello"
        server.close()
        return port

    port = asyncio.run(converse(0))
    asyncio.run(converse(port))
    assert len(models) == 1


# Failures


def failure(**facts: object) -> Exception:
    error = Exception("call failed")
    for name, value in facts.items():
        setattr(error, name, value)
    return error


def caused_by(cause: BaseException) -> Exception:
    error = Exception("wrapped")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *[(failure(status_code=status), True) for status in (408, 409, 425, 429, 500, 502, 503, 529)],
        *[(failure(status_code=status), False) for status in (400, 401, 403, 404, 422)],
        (failure(status_code=429, code="insufficient_quota"), False),
        (failure(status_code=429, code="rate_limit_exceeded"), True),
        (failure(code="503"), True),
        (failure(code="invalid_api_key"), False),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (caused_by(ConnectionResetError()), True),
        (caused_by(caused_by(failure(status_code=503))), True),
        (caused_by(failure(status_code=401)), False),
        (CallError("goals", "cut", transient=True), True),
        (CallError("goals", "empty"), False),
        (ValueError("no"), False),
        (asyncio.CancelledError(), False),
    ],
)
def test_a_failure_is_transient_or_not(error: BaseException, expected: bool) -> None:
    assert is_transient(error) is expected


def test_lost_connections_are_known_by_name_in_either_http_library() -> None:
    import httpx
    import httpx2

    for library in (httpx, httpx2):
        assert is_transient(library.ReadTimeout("slow"))
        assert is_transient(library.RemoteProtocolError("closed"))
        assert not is_transient(library.UnsupportedProtocol("no scheme"))


@pytest.mark.parametrize(
    ("metadata", "reason", "complete"),
    [
        ({"model_provider": "openai", "finish_reason": "length"}, "length", True),
        ({"model_provider": "openai", "status": "completed"}, "completed", True),
        ({"model_provider": "openai", "status": "incomplete", "incomplete_details": {"reason": "x"}}, "x", True),
        ({"model_provider": "openai", "finish_reason": None}, None, False),
        ({"model_provider": "anthropic", "stop_reason": "end_turn"}, "end_turn", True),
        ({"model_provider": "ollama", "done_reason": "stop"}, "stop", True),
        ({}, None, True),
    ],
)
def test_a_message_says_why_it_ended(metadata: dict[str, object], reason: str | None, complete: bool) -> None:
    message = AIMessage("hi", response_metadata=metadata)
    assert (finish_reason(message), is_complete(message)) == (reason, complete)


# Scripts


@pytest.fixture
def script() -> Iterator[str]:
    register_script("test", lambda messages: f"  You said:\n\n{messages[-1].text}  twice. ")
    yield "scripted:test"
    register_script("test", lambda messages: "")


async def test_a_script_streams_word_by_word_what_it_says_at_once(script: str) -> None:
    model = model_of(script)
    pieces = [piece async for piece in model.astream("four words of héllo")]
    assert [piece.text for piece in pieces if piece.text] == [
        "  You", " said:", "\n\nfour", " words", " of", " héllo", "  twice. ",
    ]  # fmt: skip
    said = await model.ainvoke("four words of héllo")
    message = await whole(model.astream("four words of héllo"))
    assert message.content == said.content
    assert message.usage_metadata == said.usage_metadata == {"input_tokens": 5, "output_tokens": 11, "total_tokens": 16}
    assert finish_reason(message) == finish_reason(said) == "stop"
    assert "".join(piece.text for piece in model.stream("x")) == model.invoke("x").text


async def test_a_script_is_one_live_model_that_keeps_its_calls(script: str) -> None:
    assert chat_model(script, temperature=0.0, max_tokens=1) is scripted_model("test")
    await asyncio.gather(*(model_of(script).ainvoke(str(number)) for number in range(20)))
    assert sorted(int(call[-1].text) for call in scripted_model("test").calls) == list(range(20))


async def test_a_script_remembers_its_last_calls_alone() -> None:
    model = register_script("talkative", lambda messages: "yes")
    for number in range(CALLS + 20):
        await model.ainvoke(str(number))
    assert [call[-1].text for call in model.calls] == [str(number) for number in range(20, CALLS + 20)]


def test_a_model_of_ones_own_has_a_name_too() -> None:
    own = FakeListChatModel(responses=["mine"])
    assert model_of(register_model("own", own)) is own
    with pytest.raises(ConfigurationError, match="scripted:own is a FakeListChatModel"):
        scripted_model("own")


async def test_a_script_may_fail() -> None:
    def fail(messages: list[BaseMessage]) -> str:
        raise failure(status_code=503)

    register_script("failing", fail)
    with pytest.raises(Exception, match="call failed") as raised:
        await whole(model_of("scripted:failing").astream("hi"))
    assert is_transient(raised.value)


def test_echo_repeats_the_users_last_words() -> None:
    asked = [SystemMessage("be brief"), HumanMessage("one"), AIMessage("two"), HumanMessage("three"), AIMessage("x")]
    assert model_of("scripted:echo").invoke(asked).content == "three"
    assert model_of("scripted:echo").invoke([SystemMessage("be brief")]).content == ""


async def test_an_empty_reply_is_still_whole() -> None:
    register_script("silent", lambda messages: "")
    message = await whole(model_of("scripted:silent").astream("hi"))
    assert (message.content, finish_reason(message)) == ("", "stop")


# The real engine


@pytest.fixture(scope="module")
def local() -> Iterator[str]:
    path = models_folder() / CATALOGUE[DEFAULT_MODEL].name
    if not path.exists():
        pytest.skip(f"{path} is absent: run `mirror model pull`")
    yield f"local:{DEFAULT_MODEL}"
    stop_local_models()


@pytest.mark.local_model
@pytest.mark.timeout(300)
class TestLocalModel:
    async def test_it_streams_within_its_bound_and_counts(self, local: str) -> None:
        pieces = [piece async for piece in chat_model(local, temperature=0.0, max_tokens=12).astream("Tell a story.")]
        assert len(pieces) > 10
        message = pieces[0]
        for later in pieces[1:]:
            message += later
        assert message.usage_metadata is not None
        assert (message.usage_metadata["output_tokens"], finish_reason(message)) == (12, "length")

    async def test_the_loop_runs_on_while_the_engine_starts(self, local: str) -> None:
        stop_local_models()
        answer = asyncio.create_task(chat_model(local, temperature=0.0, max_tokens=2).ainvoke("Say yes."))
        longest, loop = 0.0, asyncio.get_running_loop()
        while not answer.done():
            before = loop.time()
            await asyncio.sleep(0.01)
            longest = max(longest, loop.time() - before)
        assert answer.result().text
        assert longest < 1.0

    async def test_it_obeys_a_schema(self, local: str) -> None:
        class Allergy(BaseModel):
            person: str
            allergen: str

        asking = model_of(local).with_structured_output(Allergy, method="json_schema")
        found = await asking.ainvoke("Ana is allergic to peanuts. Who is allergic to what?")
        assert isinstance(found, Allergy)
        assert "peanut" in found.allergen.lower()

    async def test_it_gives_log_probabilities(self, local: str) -> None:
        answer = await model_of(local).bind(logprobs=True, top_logprobs=3).ainvoke("Say yes or no.")
        assert len(answer.response_metadata["logprobs"]["content"][0]["top_logprobs"]) == 3

    async def test_calls_that_open_alike_compute_the_opening_once(self, local: str) -> None:
        opening = "Ana told us about her week. " * 40
        model = chat_model(local, temperature=0.0, max_tokens=4)
        answers = await asyncio.gather(*(model.ainvoke(f"{opening}{ask}") for ask in ("Goals?", "Reasons?", "Facts?")))
        reused = [answer.usage_metadata["input_token_details"]["cache_read"] for answer in answers]  # type: ignore[index]  # counted
        assert sorted(reused)[1] > 200

    def test_it_answers_without_a_loop_and_nothing_is_printed(
        self, local: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        stop_local_models()
        assert chat_model(local, temperature=0.0, max_tokens=4).invoke("Say yes.").text
        assert capfd.readouterr() == ("", "")

    async def test_the_engine_refuses_who_does_not_know_its_key(self, local: str) -> None:
        import httpx

        from mirror_graph.models.local import engine_address
        from mirror_graph.models.weights import find

        address = await asyncio.to_thread(engine_address, find(DEFAULT_MODEL))
        async with httpx.AsyncClient(trust_env=False) as stranger:
            assert (await stranger.get(f"{address}/v1/models")).status_code == 401
            assert (await stranger.post(f"{address}/v1/chat/completions", json={"messages": []})).status_code == 401

    async def test_an_engine_that_died_is_started_again(self, local: str) -> None:
        from mirror_graph.models.local import _engines

        model = chat_model(local, temperature=0.0, max_tokens=2)
        assert (await model.ainvoke("Say yes.")).text
        [engine] = _engines.values()
        engine.process.kill()
        await asyncio.to_thread(engine.process.wait)
        assert (await model.ainvoke("Say yes.")).text

    def test_no_engine_outlives_its_host(self, local: str) -> None:
        host = (
            "import os; from mirror_graph.models import local, files;"
            f"path = files.find({DEFAULT_MODEL!r}); local.engine_address(path);"
            "print(local._engines[path].process.pid, flush=True); os._exit(1)"
        )
        pid = int(subprocess.run([sys.executable, "-c", host], capture_output=True, check=False, text=True).stdout)
        for _ in range(50):
            if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
            time.sleep(0.1)
        pytest.fail("the engine is still there")

    async def test_a_broken_file_is_named(self, local: str, tmp_path: Path) -> None:
        broken = tmp_path / "broken.gguf"
        broken.write_bytes(b"GGUF" + bytes(1000))
        with pytest.raises(ModelFileError, match=r"broken\.gguf"):
            await model_of(f"local:{broken}").ainvoke("hi")


@pytest.mark.parametrize(
    ("base_url", "warned"),
    [("http://models.example/v1", True), ("https://models.example/v1", False), ("http://127.0.0.1:8000/v1", False)],
)
def test_a_provider_over_plain_http_is_warned_of(
    base_url: str, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    chat_model("openai:plain-http", temperature=0, max_tokens=9)
    assert ("in clear" in caplog.text) is warned
