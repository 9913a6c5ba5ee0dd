"""What a narrative must not leave out: checked in code before it is committed."""

import re
from collections.abc import Sequence

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.identity import normalised
from mirror_graph.prompts import one_line, render
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import active
from mirror_graph.state.tokens import count_tokens, truncate_at_sentence

REFUSAL = re.compile(
    r"(?:i'?m |i am )?(?:very )?(?:sorry|afraid)\b.{0,40}\b(?:can'?t|cannot|can not|unable|as an ai)\b"
    r"|as an ai\b|i (?:can'?t|cannot) (?:assist|help)"
)
"""How models decline. Such words are no account of anything."""

BETWEEN_SENTENCES = re.compile(r"(?<=[.!?\u3002])\s+")


def restore_dangers(text: str, ledger: Sequence[SafetyConstraint], tokens: int) -> str | None:
    """Return `text` with every severe active constraint in it, within `tokens`, or None where it is no account.

    What it says twice is said once. What it leaves out is restored at its end, and the text in front of it is cut
    to make room. None for an empty text, a refusal, and where the restored part alone would take more than half of
    the budget.
    """
    if not text.strip() or REFUSAL.match(fold(text[:300], text[:300]).text.lstrip(" \"'*#-")):
        return None
    text = truncate_at_sentence(_without_repeats(text), tokens)
    said = f" {normalised(text)} "
    severe = [entry for entry in active(list(ledger)) if entry["severity"] != "preference"]
    missing = [entry for entry in severe if f" {normalised(entry['about'])} " not in said]
    if not missing:
        return text
    restored = render("restored", dangers="; ".join(_named(entry) for entry in missing))
    room = tokens - count_tokens(restored) - 1
    return f"{truncate_at_sentence(text, room)}\n{restored}" if room >= tokens // 2 else None


def _without_repeats(text: str) -> str:
    """Return `text` with each sentence once: a small model says the same until it is cut off."""
    sentences = BETWEEN_SENTENCES.split(text)
    once = dict.fromkeys(sentences)
    return text if len(once) == len(sentences) else " ".join(once)


def _named(entry: SafetyConstraint) -> str:
    subject = "" if entry["subject"] == "user" else f" ({entry['subject']})"
    return one_line(f"{entry['kind']}: {entry['about']}{subject}")
