"""The host: conversations on a database, with talking and thinking in one process."""

from mirror_graph.host.conversation import Conversation
from mirror_graph.host.mind import Mind, Paused
from mirror_graph.host.mirror import Mirror, open_mirror
from mirror_graph.host.reply import Reply, ReplyStream
from mirror_graph.host.sync import SyncConversation, SyncMirror, SyncReplyStream, SyncUser, open_mirror_sync
from mirror_graph.host.transcripts import ConversationInfo
from mirror_graph.host.user import ConstraintChanges, User
from mirror_graph.host.watching import EventKind, MindEvent

__all__ = [
    "ConstraintChanges",
    "Conversation",
    "ConversationInfo",
    "EventKind",
    "Mind",
    "MindEvent",
    "Mirror",
    "Paused",
    "Reply",
    "ReplyStream",
    "SyncConversation",
    "SyncMirror",
    "SyncReplyStream",
    "SyncUser",
    "User",
    "open_mirror",
    "open_mirror_sync",
]
