"""Put MIRROR behind FastAPI: one host for the application, one conversation per user and thread."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from mirror_graph import MirrorContext, open_mirror


class Message(BaseModel):
    """What a user sends."""

    text: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the host with the application, and give thinking five seconds when it stops."""
    async with open_mirror(context=MirrorContext(talker_model="scripted:demo"), drain=5) as mirror:
        app.state.mirror = mirror
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/threads/{thread}")
async def say(thread: str, message: Message, request: Request) -> StreamingResponse:
    """Stream a reply. The user's id comes from your sign-in, never from the request's path or body."""
    stream = request.app.state.mirror.conversation(thread, user_id="ana").stream(message.text)
    return StreamingResponse(stream, media_type="text/plain")


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app)
