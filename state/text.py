"""Sanitizing text: any language, no control characters, no broken Unicode."""

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\U000e0000-\U000e007f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def sanitize(text: str) -> str:
    """Drop control and tag characters, and put U+FFFD where a lone surrogate stands.

    Line breaks and tabs stay. Anything this returns can be stored, sent as JSON and shown.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def is_unicode(text: str) -> bool:
    """Say whether `text` is whole: no surrogate stands alone in it."""
    return _SURROGATE.search(text) is None
