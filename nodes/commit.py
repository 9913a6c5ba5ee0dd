"""The end of a pass on a mind's own thread."""

from langchain_core.messages import RemoveMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from mirror_graph.state import MirrorUpdate
from mirror_graph.state.schema import PassState


def commit(state: PassState) -> MirrorUpdate:
    """Drop the messages: they have been thought about, or the next pass brings them again."""
    return {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES)]}
