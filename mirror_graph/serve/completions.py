"""`/v1/chat/completions` and `/v1/models`: conversations with a mind, for any client of OpenAI's protocol."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from langchain_core.messages import AnyMessage
from openai.types import Model
from openai.types.chat import ChatCompletion
from typing_extensions import TypedDict

from mirror_graph.errors import ConfigurationError, MirrorError, StorageError
from mirror_graph.host import Mirror, Reply, ReplyStream
from mirror_graph.models import ending
from mirror_graph.serve.aside import answer_aside, is_aside
from mirror_graph.serve.errors import ApiError, api_error, documented, invalid_request
from mirror_graph.serve.headers import filled
from mirror_graph.serve.identity import CountTurn, HostMirror, UserId
from mirror_graph.serve.matching import Step
from mirror_graph.serve.protocol import (
    ASIDE_MODEL,
    MODEL,
    ChatRequest,
    Completion,
    check_parameters,
    instructions_of,
    messages_of,
)
from mirror_graph.serve.threads import Place, ThreadId, Threads
from mirror_graph.serve.threads import Request as Turn
from mirror_graph.state.usage import usage_of

log = logging.getLogger(__name__)

THREAD_HEADER = "X-Thread-Id"
CHAT_HEADERS = ("X-OpenWebUI-Chat-Id", "X-Conversation-Id")
"""Where front ends put the id of a chat. They always send the whole chat along."""

THREAD_ID_LENGTH = 200


class _OpenAIRoute(APIRoute):
    """A route that answers an invalid request as OpenAI does, with 400."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_in_their_shape(request: Request) -> Response:
            try:
                return await answer(request)
            except RequestValidationError as error:
                raise invalid_request(error, status=400) from error

        return answer_in_their_shape


router = APIRouter(prefix="/v1", tags=["openai"], route_class=_OpenAIRoute, responses=documented(401, 503))


class ModelList(TypedDict):
    """The models of the endpoint."""

    object: str
    data: list[Model]


_MODELS = {name: Model(id=name, created=0, object="model", owned_by="mirror") for name in (MODEL, ASIDE_MODEL)}


@router.get("/models")
async def list_models(user_id: UserId) -> ModelList:
    """List the models."""
    return {"object": "list", "data": list(_MODELS.values())}


@router.get("/models/{model}", responses=documented(404))
async def show_model(user_id: UserId, model: str) -> Model:
    """Show one model."""
    return _model(model)


@router.post(
    "/chat/completions",
    response_model=ChatCompletion,
    responses=documented(400, 404, 409, 429, 502),
    dependencies=[CountTurn],
)
async def complete(body: ChatRequest, request: Request, mirror: HostMirror, user_id: UserId) -> Response:
    """Answer the last message of a conversation: whole, or piece by piece with `stream`.

    The thread is found by `X-Thread-Id`, by `metadata.thread_id`, or by the whole transcript. The answer names it in
    `X-Thread-Id`.
    """
    _model(body.model)
    check_parameters(body)
    history, last = messages_of(body)
    instructions = instructions_of(body)
    if is_aside(body, request.headers):
        return await _answer_aside(mirror, body, [*history, last], instructions)
    thread_id = _thread_id(request.headers, body)
    pieces = take_turn(request.app.state.threads, Turn(user_id, history, last, instructions), thread_id)
    try:
        thread = str(await anext(pieces))
    except ConfigurationError as error:
        raise ApiError(400, str(error), param="messages") from error
    headers = {THREAD_HEADER: thread}
    completion = Completion(body.model)
    try:
        # The first piece is awaited before the status is sent: a failed reply is an error, not an empty success.
        first = await anext(pieces)
        if body.stream:
            return StreamingResponse(_events(first, pieces, completion, body), 200, headers, "text/event-stream")
        async with aclosing(pieces):
            reply = await _whole(first, pieces)
    except MirrorError as error:
        raise _turn_error(error, headers) from error
    return _json(completion.whole(reply.text, reply.finish_reason, reply.usage), headers)


async def take_turn(threads: Threads, turn: Turn, thread_id: ThreadId | None) -> AsyncGenerator[str | Reply]:
    """Take one turn: yield the thread's name, then the pieces of the reply, then the reply.

    Without a reply the transcript that found the thread finds it again, and a thread that no one could find goes.
    """
    async with threads.place(turn, thread_id) as place:
        yield place.thread
        try:
            stream = await _started(place, turn)
            async for piece in stream:
                yield piece
        except BaseException:
            if thread_id is None:
                await threads.give_up(turn, place)
            raise
        if thread_id is None:
            await threads.note_end(turn, place, stream.reply.text)
        yield stream.reply


async def _started(place: Place, turn: Turn) -> ReplyStream:
    match place.step:
        case Step("adopt"):
            await place.conversation.adopt(turn.history)
            return place.conversation.stream(turn.last)
        case Step("retake"):
            return place.conversation.retake_stream()
        case Step("edit", message_id):
            return place.conversation.edit_stream(turn.last, message_id=message_id)
        case _:
            return place.conversation.stream(turn.last)


async def _whole(first: str | Reply, pieces: AsyncGenerator[str | Reply]) -> Reply:
    piece = first
    while not isinstance(piece, Reply):
        piece = await anext(pieces)
    return piece


async def _events(
    first: str | Reply, pieces: AsyncGenerator[str | Reply], completion: Completion, body: ChatRequest
) -> AsyncIterator[str]:
    """Write a reply as events. If it breaks off, the last event is the error, and no `[DONE]` follows."""
    wants_usage = bool(body.stream_options and body.stream_options.include_usage)
    piece = first
    async with aclosing(pieces):
        try:
            while not isinstance(piece, Reply):
                yield completion.piece(piece)
                piece = await anext(pieces)
        except MirrorError as error:
            yield f"data: {json.dumps(_turn_error(error, {}).body)}\n\n"
            return
    yield completion.end(piece.finish_reason, piece.usage if wants_usage else None)


async def _answer_aside(
    mirror: Mirror, body: ChatRequest, messages: Sequence[AnyMessage], instructions: str
) -> Response:
    try:
        answer = await answer_aside(mirror, messages, instructions)
    except MirrorError as error:
        raise _turn_error(error, {}) from error
    completion = Completion(body.model)
    if not body.stream:
        return _json(completion.whole(answer.text, ending(answer), usage_of(answer)), {})
    wants_usage = bool(body.stream_options and body.stream_options.include_usage)
    events = completion.piece(answer.text) + completion.end(ending(answer), usage_of(answer) if wants_usage else None)
    return Response(events, media_type="text/event-stream")


def _model(name: str) -> Model:
    if name not in _MODELS:
        expected = " or ".join(_MODELS)
        raise ApiError(404, f"no model {name!r}: expected {expected}", param="model", code="model_not_found")
    return _MODELS[name]


def _thread_id(headers: Mapping[str, str], body: ChatRequest) -> ThreadId | None:
    """Return the thread id that a request names, the first of several."""
    if name := filled(headers.get(THREAD_HEADER)):
        return ThreadId(_checked(name, THREAD_HEADER), sends_all=False)
    for header in CHAT_HEADERS:
        if name := filled(headers.get(header)):
            return ThreadId(_checked(name, header), sends_all=True)
    if body.metadata and "thread_id" in body.metadata:
        return ThreadId(_checked(body.metadata["thread_id"], "metadata.thread_id"), sends_all=False)
    return None


def _checked(name: object, param: str) -> str:
    """Return a thread's name if the answer's header can carry it. Raises `ApiError`."""
    is_name = isinstance(name, str) and name.isascii() and name.isprintable() and name == name.strip()
    if not isinstance(name, str) or not is_name or not 0 < len(name) <= THREAD_ID_LENGTH:
        raise ApiError(400, f"{param}: expected 1 to {THREAD_ID_LENGTH} printable ASCII characters", param=param)
    return name


def _turn_error(error: MirrorError, headers: Mapping[str, str]) -> ApiError:
    """Return the answer to a turn that failed."""
    if isinstance(error, StorageError):
        log.error("a turn failed: %s", error)
    elif isinstance(error, ConfigurationError):
        log.error("the model cannot be used: %s", error)
        return ApiError(503, "the server's model cannot be used: its log says why", code="unavailable", headers=headers)
    found = api_error(error)
    found.headers = {**(found.headers or {}), **headers}
    return found


def _json(completion: ChatCompletion, headers: Mapping[str, str]) -> JSONResponse:
    return JSONResponse(completion.model_dump(mode="json"), headers=dict(headers))
