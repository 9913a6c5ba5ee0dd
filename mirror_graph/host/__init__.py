"""The host: conversations on a database, talking and thinking side by side in one process."""

from mirror_graph.host.conversation import Conversation
from mirror_graph.host.mind import Mind
from mirror_graph.host.mirror import Mirror, open_mirror
from mirror_graph.host.reply import Reply, ReplyStream
from mirror_graph.host.sync import SyncConversation, SyncMirror, open_mirror_sync
from mirror_graph.host.user import User

__all__ = [
    "Conversation",
    "Mind",
    "Mirror",
    "Reply",
    "ReplyStream",
    "SyncConversation",
    "SyncMirror",
    "User",
    "open_mirror",
    "open_mirror_sync",
]
