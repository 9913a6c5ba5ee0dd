"""Builders that several tests share: a context, a constraint."""

import os
from typing import Any

from hypothesis import settings

from mirror_graph import MirrorContext
from mirror_graph.ledger.identity import constraint_id
from mirror_graph.state import SafetyConstraint

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
"""The profile of hypothesis: `ci` tries as many examples as a law was written for, `default` fewer."""


def whole_or_share(count: int, share: int) -> int:
    """Return `count` under the profile `ci`, and one part in `share` of it otherwise."""
    return count if PROFILE == "ci" else count // share


def context(**choices: Any) -> MirrorContext:
    """Return a context whose models are at the endpoint, and whose passes begin at once."""
    return MirrorContext(**{"talker_model": "openai:test", "think_after": 0, **choices})


def constraint(about: str = "peanuts", kind: Any = "allergy", turn: int = 1, **fields: Any) -> SafetyConstraint:
    """Return a constraint of the user as the scanner would write it down."""
    quote = fields.pop("quote", f"I'm allergic to {about}.")
    return {  # type: ignore[typeddict-item]  # fields by name
        "id": constraint_id(kind, about, "user"),
        "kind": kind,
        "about": about,
        "severity": "serious",
        "subject": "user",
        "status": "active",
        "source": {"message": "m", "turn": turn, "quote": quote, "language": "en", "recorded_at": float(turn)},
        "first_turn": turn,
        **fields,
    }


def heavy_law(examples: int) -> settings:
    """Return the settings of a law whose examples are whole conversations: a fifth of them, if not under `ci`."""
    return settings(max_examples=examples if PROFILE == "ci" else examples // 5)
