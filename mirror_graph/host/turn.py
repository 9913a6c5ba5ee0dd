"""One turn: a message is given, and its reply is passed on and stored, or the turn fails as a whole."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from mirror_graph.errors import HostClosedError, StorageError
from mirror_graph.host.answering import TurnRun
from mirror_graph.host.message import Message, accepted_message
from mirror_graph.host.replacing import replace_message
from mirror_graph.host.reply import Reply
from mirror_graph.host.thread import Thread, log
from mirror_graph.state.branch import turn_of

LOOK_SECONDS = 5.0
"""How long to look, after the database failed, whether a reply was stored."""


class Unchanged:
    """In the place of a message: the one that stands there is answered again."""


class HostTurn:
    """A turn of a thread, made by `run`.

    `given` comes after all other messages or, with a `place`, in the place of the user's message of that id.
    """

    def __init__(self, thread: Thread, given: Message | Unchanged, run: TurnRun, place: str | None = None) -> None:
        self._thread = thread
        self._given = given
        self._run = run
        self._place = place
        self._sent: asyncio.Queue[str | Reply | None] = asyncio.Queue()
        self._replied_to: HumanMessage | None = None

    async def pieces(self) -> AsyncGenerator[str | Reply]:
        """Make the turn and yield what it sends: the pieces of the reply, then the reply.

        A reader that closes the generator ends the turn. Raises the errors of `Conversation.say`.
        """
        given, context = self._given, self._thread.context
        message = None if isinstance(given, Unchanged) else accepted_message(given, context.window_tokens)
        task = self._thread.engine.start_turn(self._make(message))
        task.add_done_callback(lambda _: self._sent.put_nowait(None))
        try:
            while (piece := await self._sent.get()) is not None:
                yield piece
            if task.cancelled():
                raise HostClosedError
            task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _make(self, message: HumanMessage | None) -> None:
        """Make the turn. Once its reply is given, it fails only if the reply is not stored."""
        engine, thread_id = self._thread.engine, self._thread.thread_id
        try:
            async with self._thread.lock(), engine.turn_slots:
                await self._answer_given(message)
                await self._thread.record()
        except (StorageError, asyncio.CancelledError) as error:
            if self._replied_to is None:
                raise
            # The reply may be stored although the database reported an error, or although the turn was cut off.
            if isinstance(error, StorageError):
                engine.unconfirmed[thread_id] = self._replied_to
            if not await self._has_stored_reply(self._replied_to):
                raise
            log.warning("thread %s: the turn ended with %r, but its reply is stored", thread_id, error)
        finally:
            engine.watchers.note_change(thread_id)
        engine.unconfirmed.pop(thread_id, None)
        engine.tidy(thread_id)

    async def _answer_given(self, message: HumanMessage | None) -> None:
        """Answer what was given: in its place, or after all other messages unless its reply is stored already."""
        if self._place is not None:
            await self._answer(await replace_message(self._thread, message, self._place))
        elif message is not None and not await self._was_answered(message):
            await self._answer(message)

    async def _answer(self, message: HumanMessage) -> None:
        """Answer a message, and note as soon as its whole reply is given."""

        def send(piece: str | Reply) -> None:
            if isinstance(piece, Reply):
                self._replied_to = message
            self._sent.put_nowait(piece)

        await self._run.answer(message, send)

    async def _was_answered(self, message: HumanMessage) -> bool:
        """Send the reply that is stored if `message` repeats one whose turn failed after the reply was given."""
        failed = self._thread.engine.unconfirmed.get(self._thread.thread_id)
        if failed is None or failed.content != message.content:
            return False
        reply = _reply_to(failed, await self._thread.messages())
        if reply is None or self._run.is_offer != ("offer" in reply.response_metadata["mirror"]):
            return False
        self._sent.put_nowait(reply.text)
        self._sent.put_nowait(Reply.of(reply))
        return True

    async def _has_stored_reply(self, message: HumanMessage) -> bool:
        """Look whether a message has its reply; False too if the database stays away for `LOOK_SECONDS`."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                while True:
                    try:
                        return _reply_to(message, await self._thread.messages()) is not None
                    except StorageError:
                        await asyncio.sleep(LOOK_SECONDS / 10)
        except TimeoutError:
            return False


def _reply_to(message: HumanMessage, messages: Sequence[AnyMessage]) -> AIMessage | None:
    """Return the stored reply of ours to a message, or None."""
    is_after = False
    for stored in messages:
        if stored.id == message.id:
            is_after = True
        elif is_after and isinstance(stored, AIMessage) and turn_of(stored) is not None:
            return stored
    return None
