"""MIRROR on LangGraph: a chat model with an inner life between turns, so that it keeps its users safe."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirror_graph.errors import ConfigurationError, MirrorError
    from mirror_graph.graphs import build_mirror, build_talker, build_thinker, mirror_node
    from mirror_graph.host import (
        Conversation,
        Mind,
        Mirror,
        Reply,
        SyncConversation,
        SyncMirror,
        open_mirror,
        open_mirror_sync,
    )
    from mirror_graph.ledger import scan
    from mirror_graph.relevance import relevant
    from mirror_graph.state import MindState, MirrorContext, MirrorState

__all__ = [
    "ConfigurationError",
    "Conversation",
    "Mind",
    "MindState",
    "Mirror",
    "MirrorContext",
    "MirrorError",
    "MirrorState",
    "Reply",
    "SyncConversation",
    "SyncMirror",
    "build_mirror",
    "build_talker",
    "build_thinker",
    "mirror_node",
    "open_mirror",
    "open_mirror_sync",
    "relevant",
    "scan",
]

_ROOMS = {
    "errors": ("ConfigurationError", "MirrorError"),
    "graphs": ("build_mirror", "build_talker", "build_thinker", "mirror_node"),
    "host": (
        "Conversation",
        "Mind",
        "Mirror",
        "Reply",
        "SyncConversation",
        "SyncMirror",
        "open_mirror",
        "open_mirror_sync",
    ),
    "ledger": ("scan",),
    "relevance": ("relevant",),
    "state": ("MindState", "MirrorContext", "MirrorState"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: LangGraph takes seconds, and `mirror --help` needs none of it."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
