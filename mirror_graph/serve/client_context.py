"""What a client of a LangGraph server may choose for a run: the server's word over the client's `context`."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mirror_graph.errors import ConfigurationError
from mirror_graph.state import MirrorContext
from mirror_graph.state.context import ALL_THINKERS, MODEL_FIELDS

FIELDS = frozenset(
    {
        *MODEL_FIELDS,
        "temperature",
        "thinking",
        "thinkers",
        "relevance",
        "narrative_tokens",
        "monologue_tokens",
        "window_tokens",
        "think_after",
    }
)
"""What a client may set by default. Never among them are texts that a model obeys, and whose run it is."""

PLACES = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"})
"""What a client of LangGraph's may send along with a context: where in a thread the run begins."""

VARIABLE = "MIRROR_CLIENT_"


@dataclass(frozen=True)
class ClientPolicy:
    """Which fields of `MirrorContext` a client may set, and to which models.

    `defaults` are the server's own choices. Without `models`, a client cannot choose a model. Of the thinkers it can
    choose among the three built-in ones.

    Raises `ConfigurationError` for a field that does not exist, and for defaults that are no valid context.
    """

    fields: frozenset[str] = FIELDS
    models: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {known.name for known in fields(MirrorContext)}
        unknown = sorted((self.fields | self.defaults.keys()) - known)
        if unknown:
            raise ConfigurationError(f"unknown fields of a context: {', '.join(unknown)}")
        MirrorContext(**self.defaults)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "ClientPolicy":
        """Read `MIRROR_CLIENT_FIELDS` and `MIRROR_CLIENT_MODELS`, separated by commas, and `MIRROR_CONTEXT`, JSON."""
        named = environment.get(f"{VARIABLE}FIELDS")
        allowed = FIELDS if named is None else _names(named)
        return cls(allowed, _names(environment.get(f"{VARIABLE}MODELS", "")), _json(environment.get("MIRROR_CONTEXT")))

    def apply(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the context of a run for which a client asked for `asked`.

        Raises `ConfigurationError`, with the name of what is refused, for a field that does not exist or is not the
        client's to set, for a model that the server does not offer, and for a value that is out of its range.
        """
        chosen = {name: value for name, value in asked.items() if name not in PLACES and not name.startswith("__")}
        known = {known.name for known in fields(MirrorContext)}
        unknown = sorted(chosen.keys() - known)
        if unknown:
            raise ConfigurationError(f"unknown in the context: {_quoted(unknown)}")
        refused = sorted(chosen.keys() - self.fields)
        if refused:
            raise ConfigurationError(
                f"this server does not let a client set {_quoted(refused)}: a client may set {_quoted(self.fields)}"
            )
        for name in MODEL_FIELDS:
            self._check_model(name, chosen.get(name))
        _check_thinkers(chosen.get("thinkers", ALL_THINKERS))
        context = {**self.defaults, **chosen}
        MirrorContext(**context)
        return context

    def _check_model(self, name: str, model: object) -> None:
        if model is not None and model not in self.models:
            offered = _quoted(self.models) if self.models else "no other than its own"
            raise ConfigurationError(f"{name} is {_short(model)}: this server offers {offered}")


def _check_thinkers(thinkers: object) -> None:
    if not isinstance(thinkers, list | tuple):
        raise ConfigurationError(f"thinkers are {_short(thinkers)}: expected a list of names")
    foreign = [thinker for thinker in thinkers if thinker not in ALL_THINKERS]
    if foreign or len(thinkers) > len(ALL_THINKERS):
        raise ConfigurationError(
            f"{len(thinkers)} thinkers, and among them {_short(foreign[:1])}: a client may choose among "
            f"{', '.join(ALL_THINKERS)}"
        )


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _json(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigurationError(f"MIRROR_CONTEXT is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError("MIRROR_CONTEXT is no JSON object: expected fields of a context and their values")
    return value


def _quoted(names: Any) -> str:
    return ", ".join(_short(name) for name in sorted(names))


def _short(value: object) -> str:
    """Return a client's value as an error may show it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
