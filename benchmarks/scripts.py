"""Scripted models that talk at length at once, where not time is measured but what a conversation leaves behind."""

from typing import Any

from langchain_core.messages import BaseMessage

from mirror_graph.benchmarks.speech import Speech
from mirror_graph.benchmarks.voices import ROLES
from mirror_graph.models import register_script, scripted_model


def scripted_voices(speech: Speech, *, reply: int, thought: int, narrative: int) -> dict[str, Any]:
    """Register a script a role, each with replies of so many tokens; return the models of a `MirrorContext`."""
    for role, tokens in zip(ROLES, (reply, thought, narrative), strict=True):

        def talk(messages: list[BaseMessage], role: str = role, tokens: int = tokens) -> str:
            scripted_model(f"bench-{role}").calls.clear()  # a long run would hoard its prompts
            return speech.text(tokens)

        register_script(f"bench-{role}", talk)
    return {f"{role}_model": f"scripted:bench-{role}" for role in ROLES}
