"""The words of the guard, as data: one TOML file per language, read once at the first reply.

What is read in a reply or a request is looked for in all languages at once, since a reply need not be in the language
of its request. What is written is in one language: the user's, or English where that is none of these.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from mirror_graph.guard.phrases import Phrases
from mirror_graph.ledger.languages import language_of
from mirror_graph.state.values import Kind

FALLBACK = "en"


class Words(NamedTuple):
    """What the guard looks for, in all languages: see `wording/en.toml` for what each list is for.

    `condition` is the words for conditions of all kinds, and `conditions` those of each.
    """

    caution: Phrases
    regard: Phrases
    personal: Phrases
    refuses: Phrases
    supposes: Phrases
    decline: Phrases
    acknowledges: Phrases
    others: Phrases
    addressed: Phrases
    knows: Phrases
    condition: Phrases
    conditions: Mapping[Kind, Phrases]


class Wording(NamedTuple):
    """How the guard writes in one language: sentences, and why and what to do by kind or severity."""

    code: str
    writes: Mapping[str, str]
    why: Mapping[str, str]
    advice: Mapping[str, str]


@cache
def words() -> Words:
    """Return what is looked for in replies and requests."""
    tables = _tables()
    kinds: list[Kind] = list(tables[0]["conditions"])
    return Words(
        caution=Phrases(table["caution"] for table in tables),
        regard=Phrases(table["regard"] for table in tables),
        personal=Phrases(table["personal"] for table in tables),
        refuses=Phrases(table["refuses"] for table in tables),
        supposes=Phrases(table["supposes"] for table in tables),
        decline=Phrases(table["decline"] for table in tables),
        acknowledges=Phrases(table["acknowledges"] for table in tables),
        others=Phrases(table["others"] for table in tables),
        addressed=Phrases(table["addressed"] for table in tables),
        knows=Phrases(table["knows"] for table in tables),
        condition=Phrases(table["conditions"][kind] for table in tables for kind in kinds),
        conditions={kind: Phrases(table["conditions"][kind] for table in tables) for kind in kinds},
    )


@cache
def wordings() -> Mapping[str, Wording]:
    """Return how the guard writes, by the ISO 639-1 code of the language."""
    return {
        table["code"]: Wording(table["code"], table["writes"], table["why"], table["advice"]) for table in _tables()
    }


def wording_for(texts: Sequence[str], codes: Sequence[str] = ()) -> Wording:
    """Return the wording for the first of `texts` whose language is known, else for the first known of `codes`."""
    known = wordings()
    for code in [*map(language_of, texts), *codes]:
        if code in known:
            return known[code]
    return known[FALLBACK]


@cache
def _tables() -> list[dict[str, Any]]:
    room = files("mirror_graph.guard.wording")
    tables = [tomllib.loads(entry.read_text("utf-8")) for entry in room.iterdir() if entry.name.endswith(".toml")]
    return sorted(tables, key=lambda table: table["order"])
