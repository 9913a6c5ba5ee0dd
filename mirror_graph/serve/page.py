"""The page: a chat with the mind next to it. Its files are in `static`; these are the routes that it calls."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, Field

from mirror_graph.host import ReplyStream
from mirror_graph.serve.errors import ApiError
from mirror_graph.serve.identity import CountTurn, Expires, HostMirror, UserId
from mirror_graph.serve.live import LOOK_SECONDS, BusyError, LiveConversation, LiveConversations, Reader
from mirror_graph.serve.view import shown_history

STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # so that no file of an earlier release is used
}
FILES = {file.name for file in STATIC.iterdir() if file.suffix in (".css", ".js", ".svg")}
NAME_LIMIT, MESSAGE_LIMIT = 200, 1_000_000

Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Chosen(BaseModel):
    """A conversation, by its name."""

    conversation: Name


class Written(Chosen):
    """A message. `id` is the page's own, so that a message that is sent twice is answered once."""

    id: Annotated[str, Field(min_length=8, max_length=64)]
    text: Annotated[str, Field(min_length=1, max_length=MESSAGE_LIMIT)]


router = APIRouter(prefix="/page", include_in_schema=False)
index = APIRouter(include_in_schema=False)


def _live(request: Request) -> LiveConversations:
    live: LiveConversations = request.app.state.live
    return live


def _stopping(request: Request) -> asyncio.Event:
    stopping: asyncio.Event = request.app.state.stopping
    return stopping


Live = Annotated[LiveConversations, Depends(_live)]


@index.get("/")
async def show_page() -> FileResponse:
    """Send the page. Its links are relative, so it works under any path that ends with a slash."""
    return FileResponse(STATIC / "index.html", headers=HEADERS)


@router.get("/static/{name}")
async def send_file(name: str) -> FileResponse:
    """Send a file of the page."""
    if name not in FILES:
        raise ApiError(404, f"the page has no file {name!r}")
    return FileResponse(STATIC / name, headers=HEADERS)


@router.get("/conversations")
async def list_conversations(live: Live, user: UserId) -> list[dict[str, Any]]:
    """List a user's conversations, the latest first."""
    return await live.listed(user)


@router.get("/events", response_class=EventSourceResponse)
async def stream_events(
    conversation: Name,
    live: Live,
    user: UserId,
    expires: Expires,
    stopping: Annotated[asyncio.Event, Depends(_stopping)],
) -> AsyncIterator[ServerSentEvent]:
    """Stream a conversation: a snapshot, and then what changes, until the server stops or the caller's token ends."""
    shown = live.conversation_of(user, conversation)
    with shown.watched():
        async for event, data in _news(shown, stopping, expires):
            yield ServerSentEvent(event=event, data=data)


@router.post("/messages", status_code=202, dependencies=[CountTurn])
async def send_message(written: Written, live: Live, user: UserId) -> None:
    """Start a turn, and answer at once. A message that was answered already is not answered again."""
    shown = live.conversation_of(user, written.conversation)
    if not await shown.has_answered(written.id):
        message = HumanMessage(written.text, id=written.id)
        _start(shown, written, lambda: shown.conversation.stream(message))


@router.post("/edit", status_code=202, dependencies=[CountTurn])
async def edit_message(written: Written, live: Live, user: UserId) -> None:
    """Replace the user's last message, and answer it again."""
    shown = live.conversation_of(user, written.conversation)
    _start(shown, written, lambda: shown.conversation.edit_stream(written.text, message_id=written.id))


@router.post("/retake", status_code=202, dependencies=[CountTurn])
async def retake_reply(written: Written, live: Live, user: UserId) -> None:
    """Answer the user's last message again."""
    shown = live.conversation_of(user, written.conversation)
    _start(shown, written, shown.conversation.retake_stream)


@router.post("/stop", status_code=204)
async def stop_reply(chosen: Chosen, live: Live, user: UserId) -> None:
    """Stop the reply under way."""
    await live.conversation_of(user, chosen.conversation).stop()


@router.post("/forget", status_code=204)
async def forget_conversation(chosen: Chosen, live: Live, user: UserId) -> None:
    """Erase a conversation and its mind."""
    await live.conversation_of(user, chosen.conversation).forget()
    live.have_changed(user)


@router.get("/history")
async def show_history(conversation: Name, mirror: HostMirror, user: UserId) -> list[dict[str, Any]]:
    """Return the narratives of a conversation, the latest first, with their differences."""
    return shown_history(await mirror.conversation(conversation, user_id=user).history())


def _start(shown: LiveConversation, written: Written, stream: Callable[[], ReplyStream]) -> None:
    """Start a turn, unless it is the one under way: a page whose connection broke sends its message again."""
    if shown.is_busy and shown.turn is not None and shown.turn.id == written.id:
        return
    try:
        shown.start(written.id, written.text, stream)
    except BusyError as error:
        raise ApiError(409, str(error), code="busy") from error


async def _news(shown: LiveConversation, stopping: asyncio.Event, expires: float) -> AsyncGenerator[tuple[str, Any]]:
    """Yield a snapshot and then what changes, until the server stops or the time `expires` has come."""
    reader = Reader(shown)
    look = True
    while not stopping.is_set() and (left := expires - time.time()) > 0:
        change = shown.next_change()
        async for event in reader.news(look=look):
            yield event
        look = not await _happens(change, stopping, min(LOOK_SECONDS, left))


async def _happens(change: asyncio.Event, stopping: asyncio.Event, seconds: float) -> bool:
    """Wait until one of both is set, and say whether one was in time."""
    waits = {asyncio.create_task(change.wait()), asyncio.create_task(stopping.wait())}
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(done)
