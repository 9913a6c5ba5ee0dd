"""Which parameters an endpoint refuses for a model. They are left out, and remembered for the life of the process."""

import re
from typing import Any

import openai

from mirror_graph.errors import ConfigurationError

OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""A bound on the answer has two names in the protocol. If one is refused, the other is tried."""

NEEDED = {"model", "messages", "input", "tools", "tool_choice", "response_format", "text", "extra_body"}
"""What makes the call. `response_format` and `tools` are ways of asking, which the caller chooses among."""

SETTINGS = {
    "model": "set talker_model, thinker_model or synthesis_model to a model that the endpoint offers",
    "temperature": "set temperature to a value that the model accepts, or to None to send none",
}

_ABOUT_THIS_CALL = re.compile(r"context|prompt|input tokens|too (?:long|large)|at most|exceed", re.IGNORECASE)

_MENTION = {"stream": r"[\"'`]stream[\"'`]"}  # a word that an error may hold for other reasons

_refused: dict[tuple[str, str], frozenset[str]] = {}


def refused_parameters(endpoint: str, model: str) -> frozenset[str]:
    """Return the parameters that the endpoint is known to refuse for the model."""
    return _refused.get((endpoint, model), frozenset())


def remember_refused(endpoint: str, model: str, parameters: frozenset[str]) -> None:
    """Remember parameters without which a call was answered, for every later call in this process."""
    _refused[endpoint, model] = refused_parameters(endpoint, model) | parameters


def leave_out(payload: dict[str, Any], parameters: frozenset[str]) -> dict[str, Any]:
    """Return `payload` without `parameters`; one that has another name gets that, unless it is refused too."""
    remaining = dict(payload)
    extra = dict(remaining.pop("extra_body", None) or {})
    for name in sorted(parameters):
        value = remaining.pop(name, None)
        value = extra.pop(name, value)
        other = OTHER_NAME.get(name)
        if value is not None and other and other not in parameters:
            remaining[other] = value
    return {**remaining, "extra_body": extra} if extra else remaining


def refused_parameter(error: openai.APIStatusError, sent: dict[str, Any]) -> str | None:
    """Return the parameter of `sent` that the error refuses, or None if the error is about something else."""
    if error.status_code not in {400, 422}:
        return None
    names = {*sent, *(sent.get("extra_body") or {})} - NEEDED
    if isinstance(error.param, str):
        named = re.split(r"\W", error.param)[-1]
        return named if named in names else None
    found = {name: _MENTION.get(name, rf"(?<![\w-]){name}(?![\w-])") for name in names}
    text = f"{error.message} {error.body}"
    matches = {name: re.search(pattern, text) for name, pattern in found.items()}
    places = {name: match.start() for name, match in matches.items() if match}
    return min(places, key=lambda name: places[name], default=None)


def is_about_this_call(error: openai.APIStatusError) -> bool:
    """Say whether a refusal depends on the length of this prompt or answer, so that other calls need not know of it."""
    return _ABOUT_THIS_CALL.search(error.message) is not None


def setting_error(error: openai.APIStatusError, model: str) -> ConfigurationError | None:
    """Return the error for a refused parameter that cannot be left out and that a setting of ours decides on."""
    advice = SETTINGS.get(error.param or "")
    if advice is None or error.status_code not in {400, 422}:
        return None
    return ConfigurationError(f"openai:{model}: the endpoint refused the value of {error.param!r}: {advice}")
