"""A conversation: one thread and its mind."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from mirror_graph.errors import ConfigurationError, HostClosedError, StorageError, ThreadInUseError, UnknownMessageError
from mirror_graph.host.heads import forget_heads
from mirror_graph.host.history import History, HistoryMessage, adopted_history
from mirror_graph.host.message import Message, accepted_message
from mirror_graph.host.mind import Mind, Paused
from mirror_graph.host.reply import LeadingTagFilter, PieceHandler, Reply, ReplyStream
from mirror_graph.host.runtime import HostRuntime
from mirror_graph.host.transcripts import is_shown
from mirror_graph.host.watching import MindEvent
from mirror_graph.ledger.repeats import with_provisional
from mirror_graph.ledger.user_constraints import (
    apply_edits,
    is_erased,
    load_lists,
    publish,
    publish_provisional,
    withdraw,
)
from mirror_graph.ledger.user_messages import UserMessage, scan_ahead, scan_messages, user_messages
from mirror_graph.nodes.propose import recommended_in
from mirror_graph.nodes.schedule import is_exhausted
from mirror_graph.scheduling import ThinkingPass, mind_thread
from mirror_graph.scheduling.labels import about_run
from mirror_graph.state import MindState, MirrorContext, Narrative, SafetyConstraint
from mirror_graph.state.branch import current_branch, is_on_branch, lag_of, last_turn, read_turn, rewind, turn_of
from mirror_graph.state.constraints import merge_constraints, severe, unconfirmed
from mirror_graph.state.offers import ItemSource, Offer, check_count
from mirror_graph.state.recommendation import DEFAULT_COUNT
from mirror_graph.state.reducers import merge_failures, merge_usage
from mirror_graph.state.references import nameable_messages
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.state.window import is_users, messages_to_drop, pending_exchanges

log = logging.getLogger(__name__)

Send = Callable[[str | Reply], None]
"""Passes on a piece of a reply, or the whole reply."""

Answer = Callable[[HumanMessage, Send], Awaitable[None]]
"""Answers a message, and sends what it answers."""

LOOK_SECONDS = 5.0
"""How long to look, after the database failed, whether a reply was stored."""


class _Unchanged:
    """In the place of a message: the one that stands there is answered again."""


class Conversation:
    """One thread. Any number of tasks may use it: its turns run one after the other, in the order of the calls."""

    def __init__(self, engine: HostRuntime, thread_id: str, context: MirrorContext, name: str = "") -> None:
        self._engine = engine
        self._context = context
        self._name = name
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
        return ReplyStream(self._pieces(message, self._answering(config)))

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
        Without one the talker's model does. No item that touches a constraint of the user's is offered, whoever
        proposed it. An offer of fewer items, or of none, is no error. `message` and `config` are as in `say`.

        Raises `InvalidItemError` for a `k` that is no whole number from 1 to 50, and for a wrong item of the source's;
        `ReplyError` if nothing was proposed or the source failed; and the other errors of `say`.
        After an error the same message may be sent again. If its offer was stored although the database failed, that
        offer is returned, without what it withheld.
        """
        check_count(k)
        made: list[Offer] = []

        async def answer(sent: HumanMessage, send: Send) -> None:
            made.append(await self._offer(sent, k, source, config or {}, send))

        stream = ReplyStream(self._pieces(message, answer, is_offer=True))
        await _whole(stream)
        return made[-1] if made else await self._stored_offer(stream.reply)

    async def retake(self, *, config: RunnableConfig | None = None) -> Reply:
        """Answer the user's last message again, and return the new reply.

        The last reply goes, and with it what was thought about it. What the user stated stays. If the last message
        has no reply yet, because its turn failed, it is answered now.

        Raises `UnknownMessageError` if the user has sent nothing yet, and the errors of `say`.
        """
        return await _whole(self.retake_stream(config=config))

    def retake_stream(self, *, config: RunnableConfig | None = None) -> ReplyStream:
        """Answer the user's last message again, as `retake` does, and iterate over the pieces of the reply."""
        return ReplyStream(self._pieces(_Unchanged(), self._answering(config), place=""))

    async def edit(
        self, message: Message, *, message_id: str | None = None, config: RunnableConfig | None = None
    ) -> Reply:
        """Replace the user's last message, or the one with `message_id`, and return the reply to the new words.

        All that followed the old message goes, and the mind is taken back to what it was before it. A constraint that
        was stated in nothing but the old message is withdrawn; what was stated earlier stays. The message keeps its id.

        Raises `UnknownMessageError` if the window holds no such message of the user's, and the errors of `say`.
        """
        return await _whole(self.edit_stream(message, message_id=message_id, config=config))

    def edit_stream(
        self, message: Message, *, message_id: str | None = None, config: RunnableConfig | None = None
    ) -> ReplyStream:
        """Replace a message, as `edit` does, and iterate over the pieces of the reply."""
        return ReplyStream(self._pieces(message, self._answering(config), place=message_id or ""))

    def watch(self) -> AsyncGenerator[MindEvent]:
        """Watch the mind: iterate over the present one, and then over what becomes of it, until the host closes.

        A `"mind"` event comes whenever a turn was answered, a thinking pass was committed, a constraint of the user's
        was edited or the conversation was forgotten, and the mind is another than before. A `"thought"` event comes
        when a thinker of this host has finished, before its pass is committed. A reader that is slow gets the newest
        mind instead of each.

        Raises `StorageError` if the mind cannot be read.
        """
        return self._engine.watchers.watch(self.thread_id, self._context.user_id, self.mind)

    async def settle(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # the contract's name
        """Wait at most `timeout` seconds until thinking has caught up with the conversation.

        Return False if it has not: the time was up, thinking is paused, or a model call failed (see `mind`). Any other
        error that prevented a pass, such as `StorageError`, is raised.
        """
        scheduler = self._engine.scheduler
        try:
            async with asyncio.timeout(timeout):
                await scheduler.settle(self.thread_id)
                if work := await self._left_over():
                    await scheduler.schedule(work)
                    if error := await scheduler.settle(self.thread_id):
                        raise error
        except TimeoutError:
            return False
        return (await self.mind()).lag == 0

    async def mind(self) -> Mind:
        """Return what is thought about the conversation so far."""
        values = await self._engine.values(self.thread_id)
        branch = _branch_of(values)
        mind = await self._load_mind(values)
        usage = merge_usage(mind["usage"], values.get("usage", {}))
        guarded = usage.pop("guard", None)
        return Mind(
            narrative=mind["narrative"]["text"],
            thoughts={thought["thinker"]: thought["text"] for thought in mind["thoughts"]},
            constraints=tuple(await self._ledger(mind, values)),
            turn=mind["turn"],
            lag=lag_of(mind, branch),
            failures=merge_failures(mind["failures"], values.get("failures", {})),
            usage=usage,
            guarded=guarded["total"]["calls"] if guarded else 0,
            paused=self._why_paused(mind),
        )

    async def history(self) -> list[Narrative]:
        """Return the last narratives of the conversation, oldest first, the newest 20 at most."""
        return await self._engine.storage.history(mind_thread(self.thread_id))

    async def messages(self) -> list[AnyMessage]:
        """Return the window: the messages a reply starts from, oldest first."""
        return list((await self._engine.values(self.thread_id)).get("messages", []))

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
            await self._engine.run_turn(self._adopt(history))
        return len(history.messages)

    async def forget(self) -> None:
        """Erase the thread and its mind from the database and, with SQLite, from its files."""
        await self._engine.forget(self.thread_id)
        if self._context.user_id is not None:
            await forget_heads(self._engine.storage.store, self._context.user_id, self._name)
        await self._engine.storage.scrub()

    async def _adopt(self, history: History) -> None:
        """Write a history to the thread, and hand it over to the thinkers."""
        async with self._engine.storage.lock(self.thread_id):
            values = await self._engine.values(self.thread_id)
            if values.get("turns") or (await self._engine.minds.load(self.thread_id))["turn"]:
                raise ThreadInUseError(values.get("turns", 0))
            waiting = None if self._context.thinking == "off" else {message.id for message in history.messages}
            gone = messages_to_drop(history.messages, budget=self._context.window_tokens, waiting=waiting)
            departed = {message.id for message in gone}
            own_messages = user_messages(history.messages, history.branch, history.turns + 1, self._context.user_id)
            await scan_ahead(own_messages)
            caught = scan_messages([message for message in own_messages if message.message in departed], time.time())
            # A message whose turn failed stays behind the history, and is answered by the next turn.
            window = [message for message in history.messages if message.id not in departed]
            whole = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *window, *values.get("messages", [])]
            await self._write(
                {"messages": whole, "branch": history.branch, "turns": history.turns, "constraints": caught}
            )
            await self._record([*history.messages, *values.get("messages", [])])
        self._engine.watchers.note_change(self.thread_id)
        work = await self._left_over()
        if work is not None:
            await self._share_found(own_messages)
            await self._engine.scheduler.schedule(work)
        elif caught and self._context.user_id is not None:  # no pass will tell the user's other conversations
            stated: list[SafetyConstraint] = [{**entry, "status": "active"} for entry in caught]
            store = self._engine.storage.store
            await publish(store, self._context.user_id, lambda lists: apply_edits(stated, lists.stated, lists.edited))

    async def _share_found(self, own_messages: Sequence[UserMessage]) -> None:
        """Let the user's other conversations know of the severe constraints of an adopted history before its pass."""
        user_id = self._context.user_id
        urgent = severe(scan_messages(own_messages, time.time()))
        if user_id is not None and urgent:
            await publish_provisional(self._engine.storage.store, user_id, self.thread_id, urgent)

    async def _record(self, messages: Sequence[AnyMessage] | None = None) -> None:
        """Bring the transcript up to date, if the host keeps one. The thread is to be locked.

        What fails here is made good by the next turn, so it costs no reply.
        """
        if self._engine.transcripts is None:
            return
        try:
            window = await self.messages() if messages is None else messages
            user_id = self._context.user_id
            await self._engine.transcripts.record(self.thread_id, user_id, self._name, window)
        except StorageError:
            log.exception("thread %s: the transcript could not be written; the next turn tries again", self.thread_id)

    def _answering(self, config: RunnableConfig | None) -> Answer:
        """Return what answers a message with a reply of the talker's."""

        async def answer(sent: HumanMessage, send: Send) -> None:
            await self._answer(sent, config or {}, send)

        return answer

    async def _pieces(
        self, given: Message | _Unchanged, answer: Answer, *, is_offer: bool = False, place: str | None = None
    ) -> AsyncGenerator[str | Reply]:
        """Start a turn and pass on what it sends: the pieces of the reply, then the reply.

        `given` comes after all other messages or, with a `place`, in the place of the user's message of that id. The
        place `""` is that of the last one.
        """
        message = None if isinstance(given, _Unchanged) else accepted_message(given, self._context.window_tokens)
        pieces: asyncio.Queue[str | Reply | None] = asyncio.Queue()
        turn = self._engine.start_turn(self._turn(message, answer, pieces.put_nowait, is_offer, place))
        turn.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            if turn.cancelled():
                raise HostClosedError
            turn.result()
        finally:
            turn.cancel()
            await asyncio.wait({turn})

    async def _turn(
        self, given: HumanMessage | None, answer: Answer, send: Send, is_offer: bool, place: str | None
    ) -> None:
        """Make one turn. Once its reply is given, it fails only if the reply is not stored."""
        is_given = False
        message = given

        def pass_on(piece: str | Reply) -> None:
            nonlocal is_given
            is_given = is_given or isinstance(piece, Reply)
            send(piece)

        try:
            async with self._engine.storage.lock(self.thread_id), self._engine.turn_slots:
                if place is not None:
                    message = await self._replace(given, place)
                    await answer(message, pass_on)
                elif message is not None and not await self._was_answered(message, pass_on, is_offer):
                    await answer(message, pass_on)
                await self._record()
        except (StorageError, asyncio.CancelledError) as error:
            if not is_given or message is None:
                raise
            # The reply may be stored although the database reported an error, or although the turn was cut off.
            if isinstance(error, StorageError):
                self._engine.unconfirmed[self.thread_id] = message
            if not await self._has_stored_reply(message):
                raise
            log.warning("thread %s: the turn ended with %r, but its reply is stored", self.thread_id, error)
        finally:
            self._engine.watchers.note_change(self.thread_id)
        self._engine.unconfirmed.pop(self.thread_id, None)
        self._engine.tidy(self.thread_id)

    async def _replace(self, given: HumanMessage | None, place: str) -> HumanMessage:
        """Put `given` in the place of a message that the window holds, under its id, and return what is to be answered.

        All that followed the message goes, and so does what it alone has stated.
        """
        held = await self.messages()
        for position in reversed(range(len(held))):
            message = held[position]
            if isinstance(message, HumanMessage) and is_users(message) and place in ("", message.id):
                answered = message if given is None else given.model_copy(update={"id": message.id})
                await self._write({"messages": [answered]})
                await self._withdraw(held[position:], answered)
                return answered
        raise UnknownMessageError(place)

    async def _write(self, values: dict[str, Any]) -> None:
        """Write to the thread outside a turn. The thread is to be locked."""
        config: RunnableConfig = {"configurable": {"thread_id": self.thread_id, "checkpoint_ns": ""}}
        await self._engine.talker.aupdate_state(config, values, as_node="schedule")

    async def _withdraw(self, given_up: Sequence[AnyMessage], answered: HumanMessage) -> None:
        """Take what only these messages have stated off the list that the user's conversations share."""
        user_id = self._context.user_id
        if user_id is None:
            return
        ids = {message.id for message in given_up if isinstance(message, HumanMessage)}

        def is_withdrawn(constraint: SafetyConstraint) -> bool:
            source = constraint["source"]
            is_in_answered = source["message"] == answered.id and source["quote"] in answered.text
            # If the first turn is another one, the same was stated elsewhere too.
            return source["message"] in ids and not is_in_answered and constraint["first_turn"] == source["turn"]

        storage = self._engine.storage
        async with storage.lock(mind_thread(self.thread_id)):
            pass  # What a pass was sharing is written by now, and nothing more of what it has read will be.
        # Not in the block: a pass that shares takes the user's lock first, and then this one.
        await withdraw(storage.store, user_id, is_withdrawn)

    async def _was_answered(self, message: HumanMessage, send: Send, is_offer: bool) -> bool:
        """Send the reply that is stored if `message` repeats one whose turn failed after the reply was given."""
        failed = self._engine.unconfirmed.get(self.thread_id)
        if failed is None or failed.content != message.content:
            return False
        reply = _reply_to(failed, await self.messages())
        if reply is None or is_offer != ("offer" in reply.response_metadata["mirror"]):
            return False
        send(reply.text)
        send(Reply.of(reply))
        return True

    async def _has_stored_reply(self, message: HumanMessage) -> bool:
        """Look whether a message has its reply; False too if the database stays away for `LOOK_SECONDS`."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                while True:
                    try:
                        return _reply_to(message, await self.messages()) is not None
                    except StorageError:
                        await asyncio.sleep(LOOK_SECONDS / 10)
        except TimeoutError:
            return False

    async def _answer(self, message: HumanMessage, callers: RunnableConfig, send: Send) -> None:
        """Run the talker over a message."""
        opening = LeadingTagFilter()

        def pass_on(piece: str) -> None:
            if shown := opening.take(piece):
                send(shown)

        # Sync, so that the user's words are in the database before the first token of a reply to them.
        updates = self._engine.talker.astream(
            {"messages": [message]},
            self._run_config(callers, PieceHandler(pass_on)),
            context=self._context,
            stream_mode="updates",
            durability="sync",
        )
        async with aclosing(cast("AsyncGenerator[dict[str, Any]]", updates)) as updates:
            async for update in updates:
                if "talker" in update:
                    if rest := opening.rest():
                        send(rest)
                    reply = next(message for message in update["talker"]["messages"] if isinstance(message, AIMessage))
                    send(Reply.of(reply))

    async def _offer(
        self, message: HumanMessage, k: int, source: ItemSource | None, callers: RunnableConfig, send: Send
    ) -> Offer:
        """Run the graph `recommend` over a message."""
        made: Offer | None = None
        events = self._engine.recommender(source).astream(
            {"messages": [message], "k": k},
            self._run_config(callers),
            context=self._context,
            stream_mode=["custom", "updates"],
            durability="sync",
        )
        async with aclosing(cast("AsyncGenerator[tuple[str, Any]]", events)) as events:
            async for mode, event in events:
                if mode == "custom" and "offer" in event:
                    made = Offer(**event["offer"])
                elif mode == "updates" and "offer" in event:
                    messages = event["offer"]["messages"]
                    send(Reply.of(next(message for message in messages if isinstance(message, AIMessage))))
        assert made is not None  # the run would have raised
        return made

    async def _stored_offer(self, reply: Reply) -> Offer:
        """Return the offer that a stored reply made. What it withheld is stored nowhere."""
        for message in reversed(await self.messages()):
            if isinstance(message, AIMessage) and turn_of(message) == reply.turn:
                return Offer(**recommended_in(message), withheld=[], text=reply.text)
        raise StorageError("the offer that was stored has left the window: send the message again")

    def _run_config(self, callers: RunnableConfig, *handlers: BaseCallbackHandler) -> RunnableConfig:
        """Return the config of a turn's run: the caller's callbacks, tags and metadata, and ours."""
        labels = self._engine.labels
        ours = {"thread_id": self.thread_id, "component": "turn", **about_run(self._context.user_id)}
        merged = merge_configs({"callbacks": callers.get("callbacks")}, {"callbacks": list(handlers)})
        return {
            "run_name": "turn",
            **callers,
            "callbacks": merged.get("callbacks"),
            "configurable": {"thread_id": self.thread_id},
            "tags": [*labels.tags, *(callers.get("tags") or [])],
            "metadata": {**labels.metadata, **(callers.get("metadata") or {}), **ours},
        }

    async def _left_over(self) -> ThinkingPass | None:
        """Return the pass that is due and was not made: it failed, or its host was stopped."""
        values = await self._engine.values(self.thread_id)
        mind, branch = await self._load_mind(values), _branch_of(values)
        waiting = pending_exchanges(values.get("messages", []), read_turn(mind), branch)
        if not waiting or self._why_paused(mind):
            return None
        behind, caught = lag_of(mind, branch), unconfirmed(values.get("constraints", []))
        turn = last_turn(branch)
        return ThinkingPass(
            self.thread_id,
            turn,
            waiting,
            self._context,
            behind,
            unread=caught,
            branch=branch,
            named_messages=nameable_messages(values),
        )

    async def _load_mind(self, values: dict[str, Any]) -> MindState:
        """Load the newest mind, taken back to the conversation as it stands."""
        mind, branch = await self._engine.minds.load(self.thread_id), _branch_of(values)
        if is_on_branch(mind, branch):
            return mind
        return rewind(mind, branch, values.get("messages", []), await self.history())

    async def _ledger(self, mind: MindState, values: dict[str, Any]) -> list[SafetyConstraint]:
        """Return the ledger as the user left it, with what was written down as words left the window unthought."""
        ledger = merge_constraints(mind["constraints"], values.get("constraints", []))
        if self._context.user_id is not None:
            lists = await load_lists(self._engine.storage.store, self._context.user_id)
            ledger = apply_edits(ledger, lists.stated, lists.edited)
            ledger = with_provisional(ledger, lists.provisional_beyond(self.thread_id))
        return [entry for entry in ledger if not is_erased(entry)]

    def _why_paused(self, mind: MindState) -> Paused:
        if self._context.thinking == "off":
            return "off"
        if is_exhausted(mind, self._context):
            return "thread budget"
        return "daily budget" if self._engine.scheduler.budget.is_spent else ""


async def _whole(stream: ReplyStream) -> Reply:
    async for _ in stream:
        pass
    return stream.reply


def _branch_of(values: dict[str, Any]) -> list[AnsweredTurn]:
    return current_branch(values.get("messages", []), values.get("branch", []))


def _reply_to(message: HumanMessage, messages: Sequence[AnyMessage]) -> AIMessage | None:
    """Return the stored reply of ours to a message, or None."""
    is_after = False
    for stored in messages:
        if stored.id == message.id:
            is_after = True
        elif is_after and isinstance(stored, AIMessage) and turn_of(stored) is not None:
            return stored
    return None
