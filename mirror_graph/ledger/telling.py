"""What the user's words ask, beside the sentences that tell of a danger: to tell of one is not to ask for it."""

import re
from collections.abc import Sequence

from mirror_graph.ledger.meaning import QUESTION
from mirror_graph.ledger.relations import content, relations
from mirror_graph.ledger.relations.spelling import split
from mirror_graph.state.values import SafetyConstraint

ENOUGH = 2
"""From how many words that say something on what stands beside the telling is what is asked."""

ASKS = re.compile("[?\uff1f\u061f]")


def beside_telling(entries: Sequence[SafetyConstraint], words: str) -> str:
    """Return `words` without the sentences that tell of `entries`.

    All of them where hardly anything is said beside: "I have epilepsy, and it is a strobe night. Shall I go?"
    """
    rest = words
    for told in sorted({_telling(entry) for entry in entries} - {""}, key=lambda it: (-len(it), it)):
        rest = rest.replace(told, "\n", 1)
    return rest if rest == words or len(content(rest)) >= ENOUGH else words


def is_met_while_told(entry: SafetyConstraint, words: str) -> bool:
    """Say whether the telling in `words` names what brings the danger: "I'm allergic to peanuts, and it's satay day".

    A fear and a trauma are told by naming just that.
    """
    told = _telling(entry)
    if entry["kind"] in {"phobia", "trauma"} or not told or told not in words:
        return False
    danger, beside = split(entry["about"]), split(told)
    for word in danger:
        if word in beside:
            beside.remove(word)
    own, concepts = relations().named(danger), relations().concepts
    return any(own & concepts[name].brings for name in relations().named(beside) if concepts[name].met)


def _telling(entry: SafetyConstraint) -> str:
    """Return the sentence that tells of an entry, up to the question in it; `""` where question and telling are one."""
    quote, about = entry["source"]["quote"], entry["about"]
    if not ASKS.search(quote):
        return quote
    asked = QUESTION.search(quote, max(0, quote.find(about)))
    return quote[: asked.start()] if asked else ""
