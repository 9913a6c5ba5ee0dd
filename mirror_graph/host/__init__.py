"""The host: conversations on a database, talking and thinking side by side in one process."""

from mirror_graph.host.conversation import Conversation, Mind, Reply, ReplyStream
from mirror_graph.host.mirror import Mirror, open_mirror

__all__ = ["Conversation", "Mind", "Mirror", "Reply", "ReplyStream", "open_mirror"]
