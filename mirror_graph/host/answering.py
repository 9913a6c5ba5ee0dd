"""How a message is answered: by a run of the talker, or by one of the recommender."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs

from mirror_graph.errors import StorageError
from mirror_graph.host.reply import LeadingTagFilter, PieceHandler, Reply
from mirror_graph.host.thread import Thread
from mirror_graph.nodes.propose import recommended_in
from mirror_graph.scheduling.labels import about_run
from mirror_graph.state.branch import turn_of
from mirror_graph.state.offers import ItemSource, Offer

Send = Callable[[str | Reply], None]
"""Passes on a piece of a reply, or the whole reply."""


class TurnRun(Protocol):
    """A run of a graph that answers one message of a thread."""

    is_offer: ClassVar[bool]
    """Whether the reply offers items."""

    async def answer(self, message: HumanMessage, send: Send) -> None:
        """Run the graph over a message, and send what it answers."""


@dataclass(frozen=True)
class TalkerRun:
    """Answers with a reply of the talker's. `callers` is the config that the caller of the turn gave."""

    thread: Thread
    callers: RunnableConfig

    is_offer: ClassVar[bool] = False

    async def answer(self, message: HumanMessage, send: Send) -> None:
        """Run the talker over a message; send the pieces of its reply, then the reply."""
        opening = LeadingTagFilter()

        def pass_on(piece: str) -> None:
            if shown := opening.take(piece):
                send(shown)

        # Sync, so that the user's words are in the database before the first token of a reply to them.
        updates = self.thread.engine.talker.astream(
            {"messages": [message]},
            _run_config(self.thread, self.callers, PieceHandler(pass_on)),
            context=self.thread.context,
            stream_mode="updates",
            durability="sync",
        )
        async with aclosing(cast("AsyncGenerator[dict[str, Any]]", updates)) as updates:
            async for update in updates:
                if "talker" in update:
                    if rest := opening.rest():
                        send(rest)
                    send(_reply_among(update["talker"]["messages"]))


@dataclass
class OfferRun:
    """Answers with an offer of `k` items at most, which `source` proposes or, without one, the talker's model."""

    thread: Thread
    callers: RunnableConfig
    k: int
    source: ItemSource | None
    _made: Offer | None = field(default=None, init=False)

    is_offer: ClassVar[bool] = True

    async def answer(self, message: HumanMessage, send: Send) -> None:
        """Run the graph `recommend` over a message, and send the reply that makes the offer."""
        events = self.thread.engine.recommender(self.source).astream(
            {"messages": [message], "k": self.k},
            _run_config(self.thread, self.callers),
            context=self.thread.context,
            stream_mode=["custom", "updates"],
            durability="sync",
        )
        async with aclosing(cast("AsyncGenerator[tuple[str, Any]]", events)) as events:
            async for mode, event in events:
                if mode == "custom" and "offer" in event:
                    self._made = Offer(**event["offer"])
                elif mode == "updates" and "offer" in event:
                    send(_reply_among(event["offer"]["messages"]))

    async def offer(self, reply: Reply) -> Offer:
        """Return the offer that a reply makes: the one of this run, or a stored one if it had been answered before.

        What a stored offer withheld is stored nowhere.
        """
        if self._made is not None:
            return self._made
        for message in reversed(await self.thread.messages()):
            if isinstance(message, AIMessage) and turn_of(message) == reply.turn:
                return Offer(**recommended_in(message), withheld=[], text=reply.text)
        raise StorageError("the offer that was stored has left the window: send the message again")


def _run_config(thread: Thread, callers: RunnableConfig, *handlers: BaseCallbackHandler) -> RunnableConfig:
    """Return the config of a turn's run: the caller's callbacks, tags and metadata, and ours."""
    labels = thread.engine.labels
    ours = {"thread_id": thread.thread_id, "component": "turn", **about_run(thread.user_id)}
    merged = merge_configs({"callbacks": callers.get("callbacks")}, {"callbacks": list(handlers)})
    return {
        "run_name": "turn",
        **callers,
        "callbacks": merged.get("callbacks"),
        "configurable": {"thread_id": thread.thread_id},
        "tags": [*labels.tags, *(callers.get("tags") or [])],
        "metadata": {**labels.metadata, **(callers.get("metadata") or {}), **ours},
    }


def _reply_among(messages: list[AnyMessage]) -> Reply:
    return Reply.of(next(message for message in messages if isinstance(message, AIMessage)))
