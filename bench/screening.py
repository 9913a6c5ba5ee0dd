"""How long relations take to screen a proposal against a full ledger, without a model call."""

import random
import time
from dataclasses import dataclass

from mirror_graph.evals.report import Aim, Report, percentile, spread
from mirror_graph.evals.saferec.arms import as_item
from mirror_graph.evals.saferec.dataset import OWN, load_dataset
from mirror_graph.evals.saferec.traits import TRAITS
from mirror_graph.relevance.screen_items import screen_with_reason
from mirror_graph.state.constraints import CONSTRAINT_LIMIT
from mirror_graph.state.offers import Item
from mirror_graph.state.values import SafetyConstraint


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    proposals: int = 200
    """Proposals that are screened."""
    items: int = 15
    """Items of each proposal, drawn from the own set of SafeRec."""
    constraints: int = CONSTRAINT_LIMIT
    """Constraints of the ledger."""
    seed: int = 1
    """Seed of every random choice."""


def measure(sizes: Sizes) -> Report:
    """Screen proposals whose texts have not been read before, each against the whole ledger."""
    chance = random.Random(sizes.seed)
    rows, _ = load_dataset(OWN)
    ledger = full_ledger(sizes.constraints)
    times: list[float] = []
    for number in range(sizes.proposals + 1):
        proposal = [_unread(as_item(row), number) for row in chance.sample(rows, sizes.items)]
        started = time.perf_counter()
        for item in proposal:
            screen_with_reason(ledger, item)
        if number:  # the first one loads the relations
            times.append(time.perf_counter() - started)
    return Report(
        tables={
            f"{sizes.items} items against {sizes.constraints} constraints": {"relations": spread("screening", times)}
        },
        aims=[
            Aim("screening p50, ms", percentile(times, 50) * 1_000, most=20),
            Aim("screening p95, ms", percentile(times, 95) * 1_000, most=50),
        ],
    )


def _unread(item: Item, number: int) -> Item:
    """Return an item whose text has not been read before. What has been read is remembered."""
    return {**item, "about": f"{item['about']} This is number {number}."}


def full_ledger(size: int) -> list[SafetyConstraint]:
    """Return a ledger of `size` constraints: every trait of SafeRec in turn, in words that differ."""
    traits = list(TRAITS.values())
    return [
        {
            "id": str(number),
            "kind": traits[number % len(traits)].kind,
            "about": traits[number % len(traits)].about,
            "severity": "serious",
            "subject": "user",
            "status": "active",
            "source": {
                "message": "",
                "turn": number,
                "quote": f"Number {number}: {traits[number % len(traits)].about}.",
                "language": "en",
                "recorded_at": 0.0,
            },
            "first_turn": number,
        }
        for number in range(size)
    ]
