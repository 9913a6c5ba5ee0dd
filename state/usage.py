"""Adding up the usage of model calls by component."""

from collections.abc import Mapping

from langchain_core.messages import AIMessage

from mirror_graph.state.schema import ComponentUsage, MindState, Tokens

REPLYING = frozenset({"talker", "check", "propose", "screen"})
"""The components whose calls are part of a reply. All others think."""

NO_TOKENS: Tokens = {"calls": 0, "input": 0, "output": 0, "cached": 0}


def usage_of(message: AIMessage) -> Tokens:
    """Return the tokens of one call, as its provider reports them; zeros if it reports none."""
    usage = message.usage_metadata
    if usage is None:
        return {**NO_TOKENS, "calls": 1}
    cached = usage.get("input_token_details", {}).get("cache_read") or 0
    return {"calls": 1, "input": usage["input_tokens"], "output": usage["output_tokens"], "cached": cached}


def add_tokens(left: Tokens, right: Tokens) -> Tokens:
    """Add two usages."""
    return {
        "calls": left["calls"] + right["calls"],
        "input": left["input"] + right["input"],
        "output": left["output"] + right["output"],
        "cached": left["cached"] + right["cached"],
    }


def thinking_tokens(usage: Mapping[str, ComponentUsage]) -> int:
    """Return how many tokens, input and output, thinking has taken on a thread."""
    tokens = 0
    for name, used in usage.items():
        if name not in REPLYING:
            tokens += used["total"]["input"] + used["total"]["output"]
    return tokens


def usage_of_turn(
    state: MindState, turn: int, reply: Tokens, check: Tokens | None, additions: int
) -> dict[str, ComponentUsage]:
    """Return what the calls of a turn took, by component: the reply, a check of relevance and the guard.

    An addition of the guard's counts as a call that takes no tokens.
    """
    usage = add_usage(state, "talker", turn, reply)
    if check:
        usage |= add_usage(state, "check", turn, check)
    if additions:
        usage |= add_usage(state, "guard", turn, {**NO_TOKENS, "calls": additions})
    return usage


def add_usage(state: MindState, component: str, turn: int, tokens: Tokens) -> dict[str, ComponentUsage]:
    """Return `component`'s usage with `tokens` more, spent in `turn`."""
    before: ComponentUsage = state["usage"].get(component, {"total": NO_TOKENS, "turn": 0, "latest": NO_TOKENS})
    latest = add_tokens(before["latest"], tokens) if before["turn"] == turn else tokens
    return {component: {"total": add_tokens(before["total"], tokens), "turn": turn, "latest": latest}}
