"""What can go wrong in training."""

from mirror_graph.errors import MirrorError


class TrainingError(MirrorError, ValueError):
    """A stage cannot run as asked, or did not do its work; the text says what was expected."""
