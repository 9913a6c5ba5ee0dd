"""Finding a JSON object among prose, drafts and code fences."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

_Value = TypeVar("_Value")

_DECODER = json.JSONDecoder(strict=False)  # small models break a line within a string


def last_object(text: str, fit: Callable[[dict[str, Any]], _Value | None]) -> _Value | None:
    """Return what `fit` makes of the last object in `text` that it accepts, or None.

    Each opening brace is tried, whatever braces or quotes stand around it. Of an object that fits, the objects
    within it are part of it; one that does not fit may hold one that does.
    """
    last: _Value | None = None
    place = text.find("{")
    while place >= 0:
        value = None
        end = place + 1
        found = _object_at(text, place)
        if found is not None:
            value = fit(found[0])
        if found is not None and value is not None:
            last = value
            end = found[1]
        place = text.find("{", end)
    return last


def _object_at(text: str, place: int) -> tuple[dict[str, Any], int] | None:
    """Return the object that begins at `place`, and where it ends."""
    try:
        found, end = _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None
    return found, end
