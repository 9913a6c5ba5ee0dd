"""MIRROR on a LangGraph server as a node of a graph in another process. First: `langgraph dev` in this repository."""

import os

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel.remote import RemoteGraph

from mirror_graph import MirrorContext, mirror_node

server = RemoteGraph(
    os.environ.get("MIRROR_GRAPH", "mirror"), url=os.environ.get("MIRROR_URL", "http://127.0.0.1:2024")
)
context = MirrorContext(talker_model=os.environ.get("MIRROR_MODEL", "scripted:demo"), window_tokens=500)
builder = StateGraph(MessagesState)
builder.add_node("mirror", mirror_node(context=context, graph=server))
builder.add_edge(START, "mirror")
graph = builder.compile(checkpointer=InMemorySaver())

talk = [f"Tell me about dish number {number}, please. {'What else goes with it? ' * 20}" for number in range(1, 13)]
talk[1] = "I'm severely allergic to peanuts."
talk[11] = "Shall I order the satay with peanut sauce?"
thread: RunnableConfig = {"configurable": {"thread_id": f"dinner {os.getpid()}"}}
for text in talk:
    reply = graph.invoke({"messages": [HumanMessage(text)]}, thread)["messages"][-1]
    print(reply.text)
print(reply.response_metadata["mirror"])
