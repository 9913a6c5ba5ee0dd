"""The sizes that benchmarks of replies share."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReplySizes:
    """How long messages and replies are, and how the endpoint paces its words."""

    delay: float = 0.1
    """Seconds before the endpoint's first word."""
    word_pause: float = 0.002
    """Seconds after each of its words."""
    message_tokens: int = 100
    """Tokens of a user's message."""
    reply_tokens: int = 400
    """Tokens of a reply."""
    model: str = "gpt-4o-mini"
    """The model of the endpoint, if OPENAI_BASE_URL is set."""
    seed: int = 1
    """Seed of texts and times."""
