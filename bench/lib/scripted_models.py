"""Scripted models that talk at length at once, where not time is measured but what a conversation leaves behind."""

from typing import Any

from bench.lib.fake_endpoint import ROLES
from bench.lib.filler_text import Speech
from mirror_graph.models import register_script
from mirror_graph.models.scripted import Script


def scripted_voices(speech: Speech, *, reply: int, thought: int, narrative: int) -> dict[str, Any]:
    """Register a script a role, each with replies of so many tokens; return the models of a `MirrorContext`."""
    for role, tokens in zip(ROLES, (reply, thought, narrative), strict=True):
        register_script(f"bench-{role}", _talk(speech, tokens))
    return {f"{role}_model": f"scripted:bench-{role}" for role in ROLES}


def _talk(speech: Speech, tokens: int) -> Script:
    return lambda messages: speech.text(tokens)
