"""Whether a value from outside, a store or a client, is what its place expects."""

from typing import Any, TypeGuard, get_args

from mirror_graph.state.values import Kind, SafetyConstraint, Severity, Status

_TEXT = {"id", "kind", "about", "severity", "whose", "status"}
_KEYS = _TEXT | {"source", "since"}
_CLOSED: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "severity": get_args(Severity),
    "status": get_args(Status),
}


def is_constraint(value: Any) -> TypeGuard[SafetyConstraint]:
    """Say whether `value` is a safety constraint: these keys and no others, each of its type."""
    if not isinstance(value, dict) or set(value) - {"touches"} != _KEYS:
        return False
    if not all(isinstance(value[key], str) for key in _TEXT) or not value["id"]:
        return False
    if any(value[key] not in allowed for key, allowed in _CLOSED.items()):
        return False
    touches = value.get("touches", [])
    if not isinstance(touches, list) or not all(isinstance(phrase, str) for phrase in touches):
        return False
    return _is_turn(value["since"]) and _is_source(value["source"])


def _is_source(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"message", "turn", "quote", "language", "at"}:
        return False
    texts = all(isinstance(value[key], str) for key in ("message", "quote", "language"))
    at = value["at"]
    return texts and _is_turn(value["turn"]) and isinstance(at, (int, float)) and not isinstance(at, bool) and at >= 0


def _is_turn(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
