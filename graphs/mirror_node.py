"""`mirror_node`: MIRROR as one node of somebody else's graph."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid5
from weakref import WeakValueDictionary

from langchain_core.messages import AIMessage, AnyMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import RetryPolicy

from mirror_graph.errors import ConfigurationError
from mirror_graph.graphs.mirror import build_mirror
from mirror_graph.guard import Rule
from mirror_graph.scheduling.base import thread_uuid
from mirror_graph.state import MirrorContext
from mirror_graph.state.branch import turn_of
from mirror_graph.state.context import context_as_json

PLAIN = (str, int, float, bool, dict, list, tuple, type(None))


def mirror_node(
    *,
    context: MirrorContext | None = None,
    messages_key: str = "messages",
    graph: RemoteGraph | None = None,
    retry: RetryPolicy | None = None,
    guard: Rule | None = None,
) -> "MirrorNode":
    """Return what `add_node("mirror", ...)` of a parent graph takes: it reads the messages and adds one reply.

    The node keeps its mind in the parent's checkpointer under its own name, so one parent may have several. It reads
    `messages_key` of the parent's state, a mapping or an object, and writes nothing else. It runs in `context`,
    whatever the parent's own context is. A turn ends when its thinking does; its reply is streamed before that, with
    `stream_mode="messages", subgraphs=True`. `retry` and `guard` are as in `build_mirror`.

    `graph` is a `RemoteGraph` of a server's `talker` or `mirror`. The server then keeps the mind, on a thread that
    belongs to the parent's thread and this node.

    Raises `ConfigurationError` if a model object would have to go to a server. A run raises it if the parent has no
    checkpointer, or for a remote graph no thread id.
    """
    return MirrorNode(context or MirrorContext(), messages_key, graph, retry, guard)


class MirrorNode(Runnable[Any, dict[str, list[AnyMessage]]]):
    """A turn of MIRROR in a parent graph. Made by `mirror_node`."""

    def __init__(
        self,
        context: MirrorContext,
        messages_key: str,
        remote: RemoteGraph | None,
        retry: RetryPolicy | None,
        guard: Rule | None,
    ) -> None:
        self._messages_key = messages_key
        self._is_remote = remote is not None
        self._graph: Any = remote or build_mirror(retry=retry, guard=guard).compile(checkpointer=True, name="mirror")
        self._context = context_as_json(context) if remote is not None else context
        self._locks: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()
        self._thread_locks: WeakValueDictionary[object, _ThreadLock] = WeakValueDictionary()

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, list[AnyMessage]]:
        """Make a turn and return the reply as an update of the parent's state."""
        config = ensure_config(config)
        node, news, inner = self._turn_of(input, config)
        # Two `Send`s of one step would start from the same mind, and the later one would replace the other.
        lock = self._locks.setdefault((asyncio.get_running_loop(), _thread_of(config), node), asyncio.Lock())
        async with lock:
            values = await self._graph.ainvoke({"messages": news}, inner, context=self._context)
        return {self._messages_key: [_reply_of(values, node)]}

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, list[AnyMessage]]:
        """Make a turn as `ainvoke` does, in a synchronous run of the parent."""
        config = ensure_config(config)
        node, news, inner = self._turn_of(input, config)
        lock = self._thread_locks.setdefault((_thread_of(config), node), _ThreadLock())
        with lock.lock:
            values = self._graph.invoke({"messages": news}, inner, context=self._context)
        return {self._messages_key: [_reply_of(values, node)]}

    def _turn_of(self, state: Any, config: RunnableConfig) -> tuple[str, list[AnyMessage], RunnableConfig]:
        """Return the node's name, the messages that it has not seen, and the config of its own graph."""
        node = str(config.get("metadata", {}).get("langgraph_node", "mirror"))
        news = unseen_messages(_messages_in(state, self._messages_key), node)
        return node, news, _remote_config(config, node) if self._is_remote else _checked(config, node)


class _ThreadLock:
    """A lock that a weak dictionary can hold."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def unseen_messages(messages: Sequence[AnyMessage], node: str) -> list[AnyMessage]:
    """Return the messages since the last reply of `node`, after that reply, which says where they belong.

    A reply of another node of ours is another agent's word here, so it loses the mark of a turn.
    """
    since: list[AnyMessage] = []
    for message in reversed(messages):
        giver = _node_of(message)
        since.insert(0, message if giver in (None, node) else _without_mark(message))
        if giver == node:
            break
    return since


def _messages_in(state: Any, key: str) -> list[AnyMessage]:
    found = state.get(key) if isinstance(state, Mapping) else getattr(state, key, None)
    if found is None:
        raise ConfigurationError(
            f"the parent's state has no {key!r}: name the key of its messages, mirror_node(messages_key=...)"
        )
    return convert_to_messages(found if isinstance(found, list | tuple) else [found])  # type: ignore[return-value]


def _checked(config: RunnableConfig, node: str) -> RunnableConfig:
    """Return the config of a node whose mind the parent's checkpointer stores."""
    values = config.get("configurable", {}).values()
    if not any(isinstance(value, BaseCheckpointSaver) for value in values):
        raise ConfigurationError(
            f"the node {node!r} has nowhere to keep its mind: compile the parent graph with a checkpointer, "
            "such as `compile(checkpointer=InMemorySaver())`, and pass a thread_id"
        )
    return config


def _remote_config(config: RunnableConfig, node: str) -> RunnableConfig:
    """Return the config of a run on a server: a thread of this node's own there, and the stream of the parent here."""
    thread_id = _thread_of(config)
    if not thread_id:
        raise ConfigurationError(f"the node {node!r} needs a thread: pass configurable={{'thread_id': ...}}")
    # A server takes a context or configurable values, not both, so of these only the objects of this process stay.
    objects = {key: value for key, value in config.get("configurable", {}).items() if not isinstance(value, PLAIN)}
    there = str(uuid5(thread_uuid(thread_id), f"node {node}"))
    return {**config, "configurable": {**objects, "thread_id": there}}


def _thread_of(config: RunnableConfig) -> str:
    return str(config.get("configurable", {}).get("thread_id") or "")


def _reply_of(values: Any, node: str) -> AIMessage:
    """Return the reply of a turn, marked with the node that gave it."""
    for message in reversed(convert_to_messages(values["messages"])):
        if isinstance(message, AIMessage) and turn_of(message) is not None:
            mark = {**message.response_metadata["mirror"], "node": node}
            return message.model_copy(update={"response_metadata": {**message.response_metadata, "mirror": mark}})
    raise ConfigurationError("the remote graph gave no reply of MIRROR: expected the graph `talker` or `mirror`")


def _node_of(message: AnyMessage) -> str | None:
    """Return the node that gave a reply of ours, or None for any other message."""
    mark = message.response_metadata.get("mirror") if isinstance(message, AIMessage) else None
    return mark.get("node") if isinstance(mark, dict) else None


def _without_mark(message: AnyMessage) -> AnyMessage:
    metadata = {key: value for key, value in message.response_metadata.items() if key != "mirror"}
    return message.model_copy(update={"response_metadata": metadata})
