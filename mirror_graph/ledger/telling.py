"""What the user's words ask, beside the sentences that tell of a danger: to tell of one is not to ask for it."""

import re
from collections.abc import Sequence

from mirror_graph.ledger.relations import content
from mirror_graph.state.values import SafetyConstraint

ENOUGH = 2
"""From how many words that say something on what stands beside the telling is what is asked."""

ASKS = re.compile("[?\uff1f\u061f]")


def beside_telling(entries: Sequence[SafetyConstraint], words: str) -> str:
    """Return `words` without the sentences that only tell of `entries`.

    All of them where hardly anything is said beside: "I have epilepsy, and it is a strobe night. Shall I go?"
    """
    rest = words
    quotes = {entry["source"]["quote"] for entry in entries} - {""}
    for told in sorted((it for it in quotes if not ASKS.search(it)), key=lambda it: (-len(it), it)):
        rest = rest.replace(told, "\n", 1)
    return rest if rest == words or len(content(rest)) >= ENOUGH else words


def told_in(entries: Sequence[SafetyConstraint], words: str) -> list[str]:
    """Return the ids of the entries that `words` tell of."""
    return [it["id"] for it in entries if it["source"]["quote"] and it["source"]["quote"] in words]
