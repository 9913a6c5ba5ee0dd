"""What MIRROR is measured against: a chat model with a plain list, and the one-node chat of LangGraph's first page."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from mirror_graph.models.http_client import shared_client
from mirror_graph.state.reducers import message_tokens, trim
from mirror_graph.state.usage import NO_TOKENS, usage_of

StockGraph = CompiledStateGraph[MessagesState, None, MessagesState, MessagesState]

WINDOW_TOKENS = 20_000


class BareChat:
    """A chat model and a list of what was said; the list is a window like MIRROR's, the prompt as long as its talker's.

    `note` stands in front of the user's words, as the mind does, and is not kept.
    """

    def __init__(self, model: BaseChatModel, system: str) -> None:
        self._model = model
        self._system = SystemMessage(system)
        self._said: list[BaseMessage] = []
        self.note = ""
        self.usage = NO_TOKENS
        """What the last reply took."""

    async def stream(self, text: str) -> AsyncIterator[str]:
        """Say something and iterate over the pieces of the reply."""
        reply = ""
        words = f"{self.note}\n\n{text}" if self.note else text
        async for chunk in self._model.astream([self._system, *self._said, HumanMessage(words)]):
            reply += chunk.text
            if chunk.usage_metadata:
                self.usage = usage_of(chunk)
            yield chunk.text
        self._said = trim([*self._said, HumanMessage(text), AIMessage(reply)], WINDOW_TOKENS, message_tokens)


class StockChat:
    """A new thread of LangGraph's one-node chat, which keeps every message."""

    def __init__(self, graph: StockGraph) -> None:
        self._graph = graph
        self.thread_id = str(uuid4())

    async def stream(self, text: str) -> AsyncIterator[str]:
        """Say something and iterate over the pieces of the reply."""
        config: RunnableConfig = {"configurable": {"thread_id": self.thread_id}}
        words: Any = {"messages": [HumanMessage(text)]}
        async for event in self._graph.astream(words, config, stream_mode="messages"):
            message = event[0]  # type: ignore[index]  # pairs, in this mode
            if isinstance(message, AIMessageChunk):
                yield message.text


def stock_graph(model: BaseChatModel, saver: BaseCheckpointSaver[str]) -> StockGraph:
    """Compile the one-node chat."""

    async def talk(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("talk", talk)
    builder.add_edge(START, "talk")
    return builder.compile(checkpointer=saver)


def openai_chat(name: str) -> ChatOpenAI:
    """Return a chat model of the endpoint as its users make one; its connections close with the event loop."""
    return ChatOpenAI(model=name, temperature=0.7, stream_usage=True, http_async_client=shared_client())
