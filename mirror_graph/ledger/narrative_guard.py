"""What a narrative must contain, checked in code before it is committed."""

import re
from collections.abc import Sequence

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.identity import normalised
from mirror_graph.prompts import one_line, render
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import active, severe
from mirror_graph.state.tokens import count_tokens, split_sentences, truncate_at_sentence

_REFUSAL = re.compile(
    r"(?:i'?m |i am )?(?:very )?(?:sorry|afraid)\b.{0,40}\b(?:can'?t|cannot|can not|unable|as an ai)\b"
    r"|as an ai\b|i (?:can'?t|cannot) (?:assist|help)"
)
"""How models decline. Such words are no account of a conversation."""


def restore_dangers(text: str, ledger: Sequence[SafetyConstraint], tokens: int) -> str | None:
    """Return `text` with every severe active constraint in it, within `tokens`, or None if it is unusable.

    A repeated sentence is left out. Missing dangers are restored at the end, and the text before them is cut to make
    room. None for an empty text, for a refusal, and if the restored part would take more than half of the budget.
    """
    # A refusal tells the next reply nothing, so the last narrative is worth more.
    if not text.strip() or _REFUSAL.match(fold(text[:300], text[:300]).text.lstrip(" \"'*#-")):
        return None
    text = truncate_at_sentence(_without_repeats(text), tokens)
    missing = _missing_dangers(text, ledger)
    if not missing:
        return text
    restored = render("restored", dangers="; ".join(map(_named, missing)))
    room = tokens - count_tokens(restored) - 1
    # Less than half of the budget tells too little of the conversation: another narrative is asked for.
    return f"{truncate_at_sentence(text, room)}\n{restored}" if room >= tokens // 2 else None


def _missing_dangers(text: str, ledger: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return the severe active constraints that `text` does not name."""
    # A preference may be left out: to forget it harms no one.
    needed = severe(active(list(ledger)))
    if not needed:
        return []
    words = f" {normalised(text)} "
    missing: list[SafetyConstraint] = []
    for constraint in needed:
        # Between spaces, because only whole words count: "nutrition" does not name "nut".
        if f" {normalised(constraint['about'])} " not in words:
            missing.append(constraint)
    return missing


def _without_repeats(text: str) -> str:
    """Return `text` with each sentence once: a small model says the same until it is cut off."""
    sentences = split_sentences(text)
    once = dict.fromkeys(sentences)
    return text if len(once) == len(sentences) else " ".join(once)


def _named(constraint: SafetyConstraint) -> str:
    subject = "" if constraint["subject"] == "user" else f" ({constraint['subject']})"
    return one_line(f"{constraint['kind']}: {constraint['about']}{subject}")
