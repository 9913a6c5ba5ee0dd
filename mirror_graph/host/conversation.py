"""A conversation: one thread and its mind."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig

from mirror_graph.errors import ConfigurationError
from mirror_graph.host.adopting import adopt_history
from mirror_graph.host.answering import OfferRun, TalkerRun
from mirror_graph.host.heads import forget_heads
from mirror_graph.host.history import HistoryMessage, adopted_history
from mirror_graph.host.message import Message
from mirror_graph.host.mind import Mind
from mirror_graph.host.replacing import LAST
from mirror_graph.host.reply import Reply, ReplyStream
from mirror_graph.host.runtime import HostRuntime
from mirror_graph.host.thread import Thread
from mirror_graph.host.thread_mind import find_left_over, load_mind, load_narratives
from mirror_graph.host.transcripts import is_shown
from mirror_graph.host.turn import HostTurn, Unchanged
from mirror_graph.host.watching import MindEvent
from mirror_graph.state import MirrorContext, Narrative
from mirror_graph.state.offers import ItemSource, Offer, check_count
from mirror_graph.state.recommendation import DEFAULT_COUNT


class Conversation:
    """One thread. Any number of tasks may use it: its turns run one after the other, in the order of the calls."""

    def __init__(self, engine: HostRuntime, thread_id: str, context: MirrorContext, name: str = "") -> None:
        self._engine = engine
        self._thread = Thread(engine, thread_id, context, name)
        self.thread_id = thread_id
        """The thread's id in the database and in traces."""

    async def say(self, message: Message, *, config: RunnableConfig | None = None) -> Reply:
        """Send a message and return the whole reply.

        `message` is a text, a list of content blocks (with images, audio or files), or a `HumanMessage`. `callbacks`,
        `tags` and `metadata` of `config` reach the run of the turn, but not the thinking that follows it.

        Raises `MessageRefusedError` if the message is of another type, is empty or does not fit the window,
        `ReplyError` if the model gave no reply, `StorageError` if the database failed, and `HostClosedError` if the
        host was closed.
        After any of them the same message may be sent again: it is stored and answered once.
        """
        return await _whole(self.stream(message, config=config))

    def stream(self, message: Message, *, config: RunnableConfig | None = None) -> ReplyStream:
        """Send a message, as in `say`, and iterate over the pieces of the reply as the model emits them.

        Raises the errors of `say`: before the first piece, or later if the reply breaks off. A reader that leaves the
        loop ends the turn. If a reader stops reading without leaving, the turn continues to its end.
        """
        return self._reply(message, config)

    async def recommend(
        self,
        message: Message,
        k: int = DEFAULT_COUNT,
        source: ItemSource | None = None,
        *,
        config: RunnableConfig | None = None,
    ) -> Offer:
        """Send a message that asks for recommendations, and return what is offered: `k` items at most.

        `source` proposes the items: a function of the request, how many are wanted, and the titles to leave out.
        Without a source, the talker's model proposes them. No item that touches a constraint of the user's is offered,
        whoever proposed it. An offer of fewer items, or of none, is no error. `message` and `config` are as in `say`.

        Raises `InvalidItemError` for a `k` that is no whole number from 1 to 50, and for a wrong item of the source's;
        `ReplyError` if nothing was proposed or the source failed; and the other errors of `say`.
        After an error the same message may be sent again. If its offer was stored although the database failed, that
        offer is returned, without what it withheld.
        """
        check_count(k)
        run = OfferRun(self._thread, config or {}, k, source)
        stream = ReplyStream(HostTurn(self._thread, message, run).pieces())
        return await run.offer(await _whole(stream))

    async def retake(self, *, config: RunnableConfig | None = None) -> Reply:
        """Answer the user's last message again, and return the new reply.

        The last reply is removed, together with what was thought about it. What the user stated stays. If the last
        message has no reply yet, because its turn failed, it is answered now.

        Raises `UnknownMessageError` if the user has sent nothing yet, and the errors of `say`.
        """
        return await _whole(self.retake_stream(config=config))

    def retake_stream(self, *, config: RunnableConfig | None = None) -> ReplyStream:
        """Answer the user's last message again, as `retake` does, and iterate over the pieces of the reply."""
        return self._reply(Unchanged(), config, LAST)

    async def edit(
        self, message: Message, *, message_id: str | None = None, config: RunnableConfig | None = None
    ) -> Reply:
        """Replace the user's last message, or the one with `message_id`, and return the reply to the new words.

        Everything after the old message is removed, and the mind goes back to what it was before that message. A
        constraint that only the old message stated is withdrawn; what was stated earlier stays. The message keeps its
        id.

        Raises `UnknownMessageError` if the window holds no such message of the user's, and the errors of `say`.
        """
        return await _whole(self.edit_stream(message, message_id=message_id, config=config))

    def edit_stream(
        self, message: Message, *, message_id: str | None = None, config: RunnableConfig | None = None
    ) -> ReplyStream:
        """Replace a message, as `edit` does, and iterate over the pieces of the reply."""
        return self._reply(message, config, message_id or LAST)

    def watch(self) -> AsyncGenerator[MindEvent]:
        """Watch the mind: iterate over the present one, and then over what becomes of it, until the host closes.

        A `"mind"` event comes if the mind has changed after a turn was answered, a thinking pass was committed, a
        constraint of the user's was edited or the conversation was forgotten. A `"thought"` event comes when a thinker
        has finished, before its pass is committed; only on PostgreSQL also for the thinkers of other hosts. A slow
        reader gets the newest mind and not every one.

        Raises `StorageError` if the mind cannot be read.
        """
        return self._engine.watchers.watch(self.thread_id, self._thread.user_id, self.mind)

    async def settle(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # the contract's name
        """Wait at most `timeout` seconds until thinking has caught up with the conversation.

        Return False if it has not: the time was up, thinking is paused, or a model call failed (see `mind`). Any other
        error that prevented a pass, such as `StorageError`, is raised.
        """
        scheduler = self._engine.scheduler
        try:
            async with asyncio.timeout(timeout):
                await scheduler.settle(self.thread_id)
                if work := await find_left_over(self._thread):
                    await scheduler.schedule(work)
                    if error := await scheduler.settle(self.thread_id):
                        raise error
        except TimeoutError:
            return False
        return (await self.mind()).lag == 0

    async def mind(self) -> Mind:
        """Return what is thought about the conversation so far. Raises `StorageError` if it cannot be read."""
        return await load_mind(self._thread)

    async def history(self) -> list[Narrative]:
        """Return the last narratives of the conversation, at most 20, oldest first. Raises `StorageError`."""
        return await load_narratives(self._thread)

    async def messages(self) -> list[AnyMessage]:
        """Return the window: the messages that a reply starts from, oldest first. Raises `StorageError`."""
        return await self._thread.messages()

    async def transcript(self, limit: int = 1_000) -> list[AnyMessage]:
        """Return the last `limit` messages of the user's and replies, oldest first, also those that left the window.

        Of what has left the window, a picture reads `[image]`. At most the newest 10,000 messages of a conversation are
        stored, since the host was first opened with `transcripts=True`.

        Raises `ConfigurationError` if the host keeps no transcripts, and for a `limit` below 1.
        """
        if not isinstance(limit, int) or limit < 1:
            raise ConfigurationError(f"limit is {limit!r}: expected a whole number from 1")
        transcripts = self._engine.transcripts_kept()
        window = [message for message in await self.messages() if is_shown(message)]
        return await transcripts.load(self.thread_id, window, limit)

    async def adopt(self, messages: Sequence[HistoryMessage]) -> int:
        """Make a history that was made elsewhere the beginning of this conversation; return how many messages it took.

        `messages` are the user's messages and the replies to them, oldest first: `HumanMessage` and `AIMessage`, or
        mappings with the role `"user"` or `"assistant"` and a content. Empty messages are left out. What the user
        stated in them holds at once, and they are thought about as if they had been said here. What the window has no
        room for is scanned for constraints before it leaves.

        Raises `ThreadInUseError` if the conversation has a turn already, `MessageRefusedError` for what is no such
        history or is larger than 256,000 tokens, and `StorageError`.
        """
        history = await asyncio.to_thread(adopted_history, messages)
        if history.messages:
            await self._engine.run_turn(adopt_history(self._thread, history))
        return len(history.messages)

    async def forget(self) -> None:
        """Erase the thread and its mind from the database and, with SQLite, from its files. Raises `StorageError`."""
        await self._engine.forget(self.thread_id)
        if self._thread.user_id is not None:
            await forget_heads(self._engine.storage.store, self._thread.user_id, self._thread.name)
        await self._engine.storage.scrub()

    def _reply(
        self, given: Message | Unchanged, config: RunnableConfig | None, place: str | None = None
    ) -> ReplyStream:
        """Start a turn that the talker answers, once its first piece is asked for."""
        run = TalkerRun(self._thread, config or {})
        return ReplyStream(HostTurn(self._thread, given, run, place).pieces())


async def _whole(stream: ReplyStream) -> Reply:
    async for _ in stream:
        pass
    return stream.reply
