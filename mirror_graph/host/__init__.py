"""The host: conversations on a database, with talking and thinking in one process."""

from mirror_graph.host.conversation import Conversation
from mirror_graph.host.mind import Mind, Paused
from mirror_graph.host.mirror import Mirror, open_mirror
from mirror_graph.host.reply import Reply, ReplyStream
from mirror_graph.host.user import ConstraintChanges, User

__all__ = [
    "ConstraintChanges",
    "Conversation",
    "Mind",
    "Mirror",
    "Paused",
    "Reply",
    "ReplyStream",
    "User",
    "open_mirror",
]
