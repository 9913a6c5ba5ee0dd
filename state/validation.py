"""Validation of what is written to a channel. Clients of a server can write state too."""

from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, TypeGuard, get_args

from langgraph.errors import InvalidUpdateError
from pydantic import Field, TypeAdapter, ValidationError

from mirror_graph.state.values import (
    AnsweredTurn,
    ComponentUsage,
    Failure,
    Kind,
    MonologueEntry,
    Narrative,
    SafetyConstraint,
    Severity,
    Source,
    Status,
    Thought,
)

TURN_LIMIT = 1_000_000
"""No conversation has so many turns: a later turn is a forgery or a fault, and would outlast every honest one."""

_Turn = Annotated[int, Field(ge=0, le=TURN_LIMIT, strict=True)]

_VALUES: dict[str, Any] = {
    "narrative": Narrative,
    "thoughts": list[Thought],
    "monologue": list[MonologueEntry],
    "constraints": list[SafetyConstraint],
    "turn": _Turn,
    "read": AnsweredTurn,
    "branch": list[AnsweredTurn],
    "failures": dict[str, Failure],
    "usage": dict[str, ComponentUsage],
}


def check_value(channel: str, value: Any) -> None:
    """Raise `InvalidUpdateError` if `value` is no value of `channel`, or names an impossible turn.

    An empty mapping stands for a narrative or a turn that is not there yet.
    """
    if value == {} and channel in ("narrative", "read"):
        return
    try:
        _adapter(channel).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in (channel, *first["loc"]))
        raise InvalidUpdateError(f"{where}: {first['msg']}. Nothing of this update was stored.") from None
    turns = [value] if channel == "turn" else list(_turns_in(value))
    if max(turns, default=0) > TURN_LIMIT or min(turns, default=0) < 0:
        raise InvalidUpdateError(
            f"{channel}: expected turns from 0 to {TURN_LIMIT:,}. Nothing of this update was stored."
        )


@cache
def _adapter(channel: str) -> TypeAdapter[Any]:
    return TypeAdapter(_VALUES[channel])


def _turns_in(value: Any) -> list[int]:
    """Return every turn that a channel's value names, at its top level and one level below."""
    items = value if isinstance(value, list) else [value, *value.values()]
    return [item["turn"] for item in items if isinstance(item, dict) and isinstance(item.get("turn"), int)]


_TEXT = {"id", "kind", "about", "severity", "subject", "status"}
_CLOSED: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "severity": get_args(Severity),
    "status": get_args(Status),
}


def is_constraint(value: Any) -> TypeGuard[SafetyConstraint]:
    """Say whether `value` is a safety constraint: these keys and no others, each of its type."""
    required, optional = SafetyConstraint.__required_keys__, SafetyConstraint.__optional_keys__
    if not isinstance(value, dict) or set(value) - optional != required:
        return False
    if not _has_words(value):
        return False
    triggers = value.get("triggers", [])
    if not isinstance(triggers, list) or not _are_texts(triggers):
        return False
    return _is_turn(value["first_turn"]) and _is_source(value["source"])


def _has_words(value: dict[str, Any]) -> bool:
    """Say whether the texts of a constraint are texts, its id is not empty, and its kind and the like are known."""
    if not _are_texts(value[key] for key in _TEXT) or not value["id"]:
        return False
    return all(value[key] in allowed for key, allowed in _CLOSED.items())


def _is_source(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != Source.__required_keys__:
        return False
    if not _are_texts((value["message"], value["quote"], value["language"])):
        return False
    return _is_turn(value["turn"]) and _is_time(value["recorded_at"])


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_time(value: Any) -> bool:
    # True is an int to Python, and no time.
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_turn(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
