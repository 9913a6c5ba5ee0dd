"""An OpenAI chat endpoint on this machine that answers, waits, fails and drops connections as a test asks."""

import argparse
import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Address
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from mirror_graph.testing.prefix_cache import PrefixCache, estimate_tokens

Feature = Literal["json_object", "json_schema", "tools"]

HOLD_SECONDS = 0.01
"""How often an answer that is held back looks whether it may go."""

EVERY_FEATURE: frozenset[Feature] = frozenset({"json_object", "json_schema", "tools"})


class Usage(NamedTuple):
    """The tokens of one call; the cached ones are among the input."""

    input: int
    output: int
    cached: int


@dataclass(frozen=True)
class Answer:
    """What a call gets back, and how slowly or badly.

    `text` becomes the arguments of the tool which the call forces, if it forces one, unless the answer is `plain`.
    `delay` passes from the call to the first byte, and `hold` keeps it back until it is set. `pause` passes after each
    word of a stream. `cut_after` drops the
    connection: a stream's after that many words (0 is after the headers), any other reply's after the headers. A stream
    with `finish_reason=None` just ends. A `status` other than 200 sends the error instead of the text. `usage` is
    estimated if it is None. `reasoning` comes before the text in a field of its own, as DeepSeek, vLLM and others send
    it. With `letters`, a stream comes in pieces of so many characters, whatever words they split. `calls` are tools
    that the model calls after its text, each a name and its arguments.
    """

    text: str = ""
    _: KW_ONLY
    plain: bool = False
    calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    reasoning: str = ""
    letters: int | None = None
    refusal: str | None = None
    finish_reason: str | None = "stop"
    usage: Usage | tuple[int, int, int] | None = None
    delay: float = 0.0
    hold: threading.Event | None = None
    pause: float = 0.0
    cut_after: int | None = None
    status: int = 200
    error: str | None = None
    error_code: str | None = None
    error_param: str | None = None
    retry_after: float | None = None


@dataclass
class Call:
    """One request for a completion; times are monotonic seconds."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    started: float
    ended: float | None = None

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.body["model"])

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages as they were sent."""
        return list(self.body["messages"])

    @property
    def stream(self) -> bool:
        """Whether the reply is to be streamed."""
        return bool(self.body.get("stream"))

    @property
    def prompt(self) -> str:
        """All messages as one text, each under its role."""
        return "".join(f"{message['role']}\n{_content(message)}\n" for message in self.messages)

    @property
    def forced_tool(self) -> str | None:
        """The tool which the model has no choice but to call."""
        choice = self.body.get("tool_choice")
        if choice == "required":
            choice = self.body["tools"][0]
        return str(choice["function"]["name"]) if isinstance(choice, dict) else None


class Endpoint:
    """Serve the OpenAI chat protocol on 127.0.0.1, from a thread of its own, for the length of a `with` block.

    `answer` is asked about every call and may be replaced at any time. It runs in the serving thread, so it must not
    block; if it raises, the call gets an error which clients do not retry, and the block ends with what was raised.
    A call for a feature that is not in `supports` is refused as providers refuse it, and so is one with a parameter in
    `refuses`, as OpenAI's reasoning models refuse `temperature` and `max_tokens`. Messages are refused as OpenAI does
    it: calls to tools without their results, results without their call, names with a space in them. `refused` holds
    every call that was refused.
    """

    url: str

    def __init__(
        self,
        answer: Callable[[Call], Answer | str] = lambda call: "ok",
        *,
        port: int = 0,
        supports: frozenset[Feature] = EVERY_FEATURE,
        refuses: frozenset[str] = frozenset(),
    ) -> None:
        self.answer = answer
        self.calls: list[Call] = []
        self.refused: list[Call] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._port = port
        self._supports = supports
        self.refuses = refuses
        self._cache = PrefixCache()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self._port), backlog=1024)
        # asyncio forgets this for a listener made outside of it; a small piece then waits 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        completions = Route("/v1/chat/completions", self._complete, methods=["POST"])
        self._server = _Server(Starlette(routes=[completions, Route("/v1/models", _list_models)]))
        self._loop = asyncio.new_event_loop()
        serving = self._server.serve(sockets=[listener])
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[serving], daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._server.stopping.set)
        self._thread.join()
        self._loop.close()
        if self._failure is not None and error is None:
            raise self._failure

    async def _complete(self, request: Request) -> Response:
        try:
            call = Call(await request.json(), request.headers, time.monotonic())
        except ClientDisconnect:  # left in the middle of its request, so no one reads the reply
            return Response()
        self.calls.append(call)
        refusal = _refuse_messages(call) or _refuse(call, self._supports, self.refuses)
        if refusal:
            self.refused.append(call)
        answer = refusal or self._ask(call)
        if answer.status != 200:
            pieces = [_write_error(answer)]
        elif call.stream:
            pieces = _write_stream(call, answer, self._count_tokens(call, answer))
        else:
            pieces = [_write_completion(call, answer, self._count_tokens(call, answer))]
        return _Reply(pieces, call, answer, self._count(call), partial(self._server.hang_up, request.client))

    def _ask(self, call: Call) -> Answer:
        try:
            answer = self.answer(call)
        except BaseException as failure:  # what `pytest.fail` raises is no Exception
            self._failure = failure
            return Answer(status=422, error=f"no answer: {failure!r}")
        return Answer(answer) if isinstance(answer, str) else answer

    def _count_tokens(self, call: Call, answer: Answer) -> Usage:
        cached = self._cache.add(call.model, call.prompt)
        if answer.usage is not None:
            return Usage(*answer.usage)
        prompt = estimate_tokens("".join(map(_content, call.messages)))
        return Usage(prompt, estimate_tokens(_said(answer)), min(cached, prompt))

    @contextmanager
    def _count(self, call: Call) -> Iterator[None]:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1
            call.ended = time.monotonic()


class _Reply(StreamingResponse):
    """Send the pieces of a reply at the pace of its answer, for as long as the client is there."""

    def __init__(
        self,
        pieces: list[bytes],
        call: Call,
        answer: Answer,
        counted: AbstractContextManager[None],
        hang_up: Callable[[], None],
    ) -> None:
        streamed = call.stream and answer.status == 200
        headers = {"content-type": "text/event-stream" if streamed else "application/json"}
        if answer.retry_after is not None:
            headers["retry-after"] = str(answer.retry_after)
        super().__init__(pieces, answer.status, headers)
        self._pieces = pieces
        self._call = call
        self._answer = answer
        self._counted = counted
        self._hang_up = hang_up

    async def stream_response(self, send: Send) -> None:
        """Send every piece or, where the reply is cut, some but never the last."""
        cut = self._answer.cut_after is not None
        sent = self._pieces[:-1][: self._answer.cut_after] if cut else self._pieces
        *pieces, last = sent or [b""]
        with self._counted:
            await asyncio.sleep(self._call.started + self._answer.delay - time.monotonic())
            while self._answer.hold and not self._answer.hold.is_set():  # noqa: ASYNC110  # set by another thread
                await asyncio.sleep(HOLD_SECONDS)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(self._answer.pause)
        # The count is over before the last piece is out, so a client that has the whole reply finds its call ended.
        await send({"type": "http.response.body", "body": last, "more_body": cut})
        if cut:
            self._hang_up()
            await asyncio.get_running_loop().create_future()


class _Server(uvicorn.Server):
    """Serve until told to stop, then hang up on everyone at once."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=3600,
            log_config=None,
            log_level="warning",
            access_log=False,
        )
        super().__init__(config)
        self.stopping = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait for the order to stop."""
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop every connection, which ends the calls under way."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(0.01)  # a connection that was just accepted is listed a moment later
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*self.server_state.tasks)

    def hang_up(self, client: Address | None) -> None:
        """Close the connection of one client once what was written has gone out."""
        for connection in self.server_state.connections:
            if connection.transport.get_extra_info("peername") == client:
                connection.transport.close()


def _refuse(call: Call, supports: frozenset[Feature], refuses: frozenset[str]) -> Answer | None:
    for name in sorted(refuses & call.body.keys()):
        if name == "stream" and not call.stream:
            continue
        problem = f"Unsupported parameter: '{name}' is not supported with this model."
        return Answer(status=400, error=problem, error_code="unsupported_parameter", error_param=name)
    kind = (call.body.get("response_format") or {"type": "text"})["type"]
    if kind != "text" and kind not in supports:
        problem = f"Invalid parameter: 'response_format' of type '{kind}' is not supported with this model."
        return Answer(status=400, error=problem)
    if call.body.get("tools") and "tools" not in supports:
        problem = "Unsupported parameter: 'tools' is not supported with this model."
        return Answer(status=400, error=problem, error_code="unsupported_parameter")
    return None


def _refuse_messages(call: Call) -> Answer | None:
    """Refuse messages in an order, or with a name, that OpenAI's chat endpoint refuses."""
    problem = _problem_of(call.messages)
    return Answer(status=400, error=f"Invalid parameter: {problem}.", error_param="messages") if problem else None


def _problem_of(messages: list[dict[str, Any]]) -> str | None:
    """Return what is wrong with the order of the messages, or with one of them."""
    open_calls: set[str] = set()
    for message in messages:
        role = message["role"]
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            return "an assistant message with 'tool_calls' must be followed by tool messages for each 'tool_call_id'"
        if role == "assistant":
            open_calls = {tool_call["id"] for tool_call in message.get("tool_calls") or []}
        if problem := _problem_in(message):
            return problem
    return "the last 'tool_calls' have no results" if open_calls else None


def _problem_in(message: dict[str, Any]) -> str | None:
    """Return what is wrong with one message, wherever it stands."""
    has_content = message.get("content") is not None or message.get("tool_calls") or message.get("refusal")
    if message["role"] == "assistant" and not has_content:
        return "an assistant message has neither 'content' nor 'tool_calls'"
    if re.search(r"[\s<|\\/>]", str(message.get("name") or "")):
        return "'messages.name' does not match '^[^\\s<|\\\\/>]+$'"
    return None


def _write_error(answer: Answer) -> bytes:
    kind = "server_error" if answer.status >= 500 else "invalid_request_error"
    message = answer.error or f"The endpoint was told to answer {answer.status}."
    return _dump({"error": {"message": message, "type": kind, "param": answer.error_param, "code": answer.error_code}})


def _write_completion(call: Call, answer: Answer, usage: Usage) -> bytes:
    message = _open_message(call, answer, _said(answer))
    if answer.calls:
        message["tool_calls"] = _write_tool_calls(answer)
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return _dump({**_head(call, "chat.completion"), "choices": [choice], "usage": _write_usage(usage)})


def _write_stream(call: Call, answer: Answer, usage: Usage) -> list[bytes]:
    wants_usage = (call.body.get("stream_options") or {}).get("include_usage")
    head = _head(call, "chat.completion.chunk") | ({"usage": None} if wants_usage else {})

    def write_chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _write_event({**head, "choices": [choice]})

    reasons = [write_chunk({"reasoning_content": word}) for word in _split(answer, answer.reasoning)]
    words = [write_chunk(_extend_message(call, answer, word)) for word in _split(answer, _said(answer))]
    calls = [write_chunk({"tool_calls": [tool_call]}) for tool_call in _write_tool_calls(answer)]
    pieces = [*reasons, *words, *calls] or [b""]
    pieces[0] = write_chunk(_open_message(call, answer, "")) + pieces[0]
    if answer.finish_reason is None:
        return [*pieces, b""]
    end = write_chunk({}, _finish_reason(answer))
    if wants_usage:
        end += _write_event({**head, "choices": [], "usage": _write_usage(usage)})
    return [*pieces, end + b"data: [DONE]\n\n"]


def _split(answer: Answer, text: str) -> list[str]:
    if answer.letters is not None:
        return [text[start : start + answer.letters] for start in range(0, len(text), answer.letters)]
    return re.findall(r"\S+\s*|\s+", text)


def _head(call: Call, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid4().hex}", "object": kind, "created": int(time.time()), "model": call.model}


def _open_message(call: Call, answer: Answer, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "refusal": None}
    if answer.refusal is not None:
        return message | {"refusal": text}
    if call.forced_tool and not answer.plain:
        function = {"name": call.forced_tool, "arguments": text}
        tool_call = {"index": 0, "id": f"call_{uuid4().hex}", "type": "function", "function": function}
        return message | {"tool_calls": [tool_call]}
    return message | {"content": text}


def _extend_message(call: Call, answer: Answer, text: str) -> dict[str, Any]:
    if answer.refusal is not None:
        return {"refusal": text}
    if call.forced_tool and not answer.plain:
        return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
    return {"content": text}


def _write_tool_calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "index": place,
            "id": f"call_{uuid4().hex}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for place, (name, arguments) in enumerate(answer.calls)
    ]


def _finish_reason(answer: Answer) -> str | None:
    return "tool_calls" if answer.calls and answer.finish_reason == "stop" else answer.finish_reason


def _write_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def _write_event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + _dump(chunk) + b"\n\n"


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


async def _list_models(request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [{"id": "any", "object": "model", "created": 0, "owned_by": "me"}]})


def _said(answer: Answer) -> str:
    return answer.text if answer.refusal is None else answer.refusal


def _content(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def main() -> None:
    """Serve until killed; the first line printed is the URL."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before the first byte")
    parser.add_argument("--words", type=int, default=60, help="length of the reply")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds after each word of a stream")
    options = parser.parse_args()
    reply = Answer("word " * options.words, delay=options.delay, pause=options.pause)

    def answer(call: Call) -> Answer:
        endpoint.calls.clear()  # no one reads them here, and a long run would hoard its prompts
        return reply

    with suppress(KeyboardInterrupt), Endpoint(answer, port=options.port) as endpoint:
        print(endpoint.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
