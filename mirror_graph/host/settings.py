"""Validation of a host's settings."""

from mirror_graph.errors import ConfigurationError
from mirror_graph.state import MirrorContext

MOST_PASSES = 10_000
LONGEST_DRAIN = 86_400.0


def check_settings(
    *, context: object, max_thinking: object, daily_tokens: object, drain: object, guard: object = None
) -> None:
    """Raise `ConfigurationError` for the first setting that is no setting."""
    if context is not None and not isinstance(context, MirrorContext):
        raise ConfigurationError(f"context is {context!r:.200}: expected a MirrorContext")
    if not _is_whole(max_thinking, least=1, most=MOST_PASSES):
        raise ConfigurationError(f"max_thinking is {max_thinking!r}: expected a whole number from 1 to {MOST_PASSES:,}")
    if daily_tokens is not None and not _is_whole(daily_tokens, least=0, most=10**15):
        raise ConfigurationError(
            f"daily_tokens is {daily_tokens!r}: expected a whole number from 0, or None for no limit"
        )
    if guard is not None and not callable(guard):
        raise ConfigurationError(
            f"guard is {guard!r:.200}: expected a function of findings and a language; "
            "how replies are guarded is MirrorContext(guard=...)"
        )
    if not _is_duration(drain, most=LONGEST_DRAIN):
        raise ConfigurationError(f"drain is {drain!r}: expected a number of seconds from 0 to {LONGEST_DRAIN:,.0f}")


def _is_whole(value: object, *, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_duration(value: object, *, most: float) -> bool:
    # A comparison with NaN is false, so NaN is none.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
