"""Counting tokens, and truncating text to a number of them."""

import re

BYTES_PER_TOKEN = 4
CUT = " […] "

_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?\u2026\u3002\uff01\uff1f])\s+")
_SENTENCE_END = re.compile(r"[.!?…](?=\s|$)|[\u3002\uff01\uff1f]|\n")


def count_tokens(text: str) -> int:
    """Count the tokens of `text`: a quarter of its UTF-8 bytes, rounded up.

    The same for every model and without a tokenizer file. Most prose comes out within a fifth of a real
    tokenizer's count, long runs of digits at a quarter of it (docs/bounds.md has the figures).
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def truncate_middle(text: str, tokens: int) -> str:
    """Cut the middle out of `text` so that it has at most `tokens` tokens; its beginning and its end stay."""
    if count_tokens(text) <= tokens:
        return text
    room = max(0, (tokens - count_tokens(CUT)) * BYTES_PER_TOKEN)
    if room == 0:
        return _head(text, tokens * BYTES_PER_TOKEN)
    tail = _tail(text, room // 4)
    return _head(text, room - len(tail.encode("utf-8", "surrogatepass"))) + CUT + tail


def truncate_at_sentence(text: str, tokens: int) -> str:
    """Cut `text` to at most `tokens` tokens after the last whole sentence that fits.

    If not even one sentence fits, the words that fit stay.
    """
    if count_tokens(text) <= tokens:
        return text
    head = _head(text, tokens * BYTES_PER_TOKEN)
    if _SENTENCE_END.search(head):
        return whole_sentences(head)
    broken = not (head[-1:].isspace() or text[len(head)].isspace())
    if broken and " " in head.strip():
        head = head.rsplit(maxsplit=1)[0]
    return head.rstrip()


def split_sentences(text: str) -> list[str]:
    """Split `text` at the white space behind its sentences; a line break inside of a sentence stays in it."""
    return _BETWEEN_SENTENCES.split(text)


def whole_sentences(text: str) -> str:
    """Return `text` up to the end of its last whole sentence, or all of it if it has none."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]].rstrip() if ends else text


def _head(text: str, size: int) -> str:
    return text[:size].encode("utf-8", "surrogatepass")[:size].decode("utf-8", "ignore")


def _tail(text: str, size: int) -> str:
    return text[len(text) - size :].encode("utf-8", "surrogatepass")[-size:].decode("utf-8", "ignore") if size else ""
