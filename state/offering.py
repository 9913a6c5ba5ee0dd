"""What becomes of proposed items: which are new, how many are still wanted, and which are offered."""

from collections.abc import Container, Iterable, Sequence

from mirror_graph.state.offers import Item, Verdict
from mirror_graph.state.titles import key

MOST_ROUNDS = 3
"""How often items are proposed for one offer: once, and twice more for places that stayed empty."""

Title = tuple[str, int | None]


def count_to_propose(k: int, verdicts: Sequence[Verdict], lethal: Container[str], rounds: int) -> int:
    """Return how many items to ask for: half as many again as the places at first, then only what is missing."""
    return k + (k + 1) // 2 if rounds == 0 else k - len(offerable(verdicts, lethal)[:k])


def new_items(items: Iterable[Item], verdicts: Sequence[Verdict], offered: Iterable[Title]) -> list[Item]:
    """Return the items that were neither offered before nor proposed in this turn, each once."""
    known = [*offered, *(title_of(verdict["item"]) for verdict in verdicts)]
    fresh: list[Item] = []
    for item in items:
        if not any(is_same(title_of(item), earlier) for earlier in known):
            fresh.append(item)
            known.append(title_of(item))
    return fresh


def offerable(verdicts: Sequence[Verdict], lethal: Container[str]) -> list[Verdict]:
    """Return the verdicts on the items that may be offered, in the order in which they were proposed."""
    return [verdict for verdict in verdicts if is_offerable(verdict, lethal)]


def is_offerable(verdict: Verdict, lethal: Container[str]) -> bool:
    """Say whether an item may be offered. `lethal` are the ids of the constraints that may kill."""
    if verdict["finding"] == "touches":
        return False
    # Nobody could decide about the item. A life is not risked for a recommendation; a preference may be.
    if verdict["finding"] == "unknown":
        return verdict["constraint"] not in lethal
    return True


def is_same(one: Title, other: Title) -> bool:
    """Say whether two titles name one item: they are spelled alike, and no two years speak against it."""
    return key(one[0]) == key(other[0]) and (one[1] == other[1] or None in (one[1], other[1]))


def title_of(item: Item) -> Title:
    """Return the title and the year of an item."""
    return item["title"], item["year"]
