"""A graph of one's own with MIRROR as a node: it keeps its mind over turns in the graph's own checkpointer."""

import os

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from mirror_graph import MirrorContext, mirror_node

context = MirrorContext(talker_model=os.environ.get("MIRROR_MODEL", "scripted:demo"), window_tokens=500)
builder = StateGraph(MessagesState)
builder.add_node("mirror", mirror_node(context=context))
builder.add_edge(START, "mirror")
graph = builder.compile(checkpointer=InMemorySaver())

talk = [f"Tell me about dish number {number}, please. {'What else goes with it? ' * 20}" for number in range(1, 13)]
talk[1] = "I'm severely allergic to peanuts."
talk[11] = "Shall I order the satay with peanut sauce?"
thread: RunnableConfig = {"configurable": {"thread_id": "dinner with ana"}}
for text in talk:
    said: MessagesState = {"messages": [HumanMessage(text)]}
    for part in graph.stream(said, thread, stream_mode="messages", subgraphs=True, version="v2"):
        if part["type"] == "messages":
            print(part["data"][0].text, end="", flush=True)
    print()
reply = graph.get_state(thread).values["messages"][-1]
print(reply.response_metadata["mirror"])
