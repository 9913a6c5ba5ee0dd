"""The state of the graph `recommend`: a thread, and a recommendation under way."""

from typing import Annotated

from langgraph.channels import UntrackedValue
from typing_extensions import TypedDict

from mirror_graph.state.offers import Item, Verdict
from mirror_graph.state.schema import MirrorInput, MirrorState, MirrorUpdate

DEFAULT_COUNT = 5
"""How many items are recommended unless the caller says otherwise."""


class RecommendState(MirrorState):
    """A thread while something is recommended on it.

    None of what is added to a thread here is ever in a checkpoint. `k` is how many items are asked for, `proposed`
    waits to be screened, `verdicts` are on everything that was screened, and `rounds` counts the proposals.
    """

    k: Annotated[int, UntrackedValue]
    proposed: Annotated[list[Item], UntrackedValue]
    verdicts: Annotated[list[Verdict], UntrackedValue]
    rounds: Annotated[int, UntrackedValue]
    items: Annotated[list[Item], UntrackedValue]
    missing: Annotated[int, UntrackedValue]
    unchecked: Annotated[int, UntrackedValue]


class RecommendInput(MirrorInput, total=False):
    """What a caller sends: messages, and how many items are asked for; 5 without `k`."""

    k: Annotated[int, UntrackedValue]


class RecommendOutput(MirrorState, total=False):
    """What a run returns: the thread, and what was offered. What was withheld is not in it."""

    items: Annotated[list[Item], UntrackedValue]
    missing: Annotated[int, UntrackedValue]
    unchecked: Annotated[int, UntrackedValue]


class RecommendUpdate(MirrorUpdate, total=False):
    """What a node of the graph `recommend` may return."""

    k: int
    proposed: list[Item]
    verdicts: list[Verdict]
    rounds: int
    items: list[Item]
    missing: int
    unchecked: int


class Recommended(TypedDict):
    """What a reply notes about the offer that it makes: enough to know later what was offered."""

    items: list[Item]
    missing: int
    unchecked: int
    rounds: int
