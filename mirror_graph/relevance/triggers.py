"""What touches a constraint: the concepts it names, its own words, and generated phrases."""

import re
from functools import cache, lru_cache
from itertools import filterfalse
from typing import NamedTuple

from mirror_graph.ledger.words import is_unspaced, split, stem, without_umlaut
from mirror_graph.relevance.relations import Names, Phrase, content, relations
from mirror_graph.state.values import Kind, SafetyConstraint


class Triggers(NamedTuple):
    """What a constraint is touched by: concepts, more of them that matter less (`also`), its own words.

    `words` are stems, `quoted` those of the quote as a whole, and `terms` the names of things in scripts without
    spaces. `distinctive` are the words that say what it is about even on their own: "park" does not, in "theme park".
    `phrases` are triggers that a model generated. `own` holds the fields that the concepts it names put it in.
    `is_known` says whether the relations know it, and `by_sight` whether seeing is enough to bring it on.
    """

    concepts: Names
    also: Names
    words: Names
    quoted: Names
    distinctive: Names
    terms: tuple[str, ...]
    phrases: frozenset[Phrase]
    own: Names
    is_known: bool
    by_sight: bool


def triggers_of(constraint: SafetyConstraint) -> Triggers:
    """Return what a constraint is touched by."""
    touches = tuple(constraint.get("triggers", ()))
    return _triggers(constraint["kind"], constraint["about"], constraint["source"]["quote"], touches)


@lru_cache(maxsize=4096)
def _triggers(kind: Kind, about: str, quote: str, touches: tuple[str, ...]) -> Triggers:
    fitting = _concepts_named(kind, f"{about}\n{quote}")
    if fitting and relations().named(split(about)).isdisjoint(fitting):
        # What the quote says next to it fits the kind, but the danger itself is known for another kind only.
        fitting += _concepts_named(kind, about)
    minds = frozenset(fitting) | relations().gathered(fitting, lambda concept: concept.minds) | _threats_of(kind)
    also = relations().gathered(fitting, lambda concept: concept.also) - minds
    words = content(about) or content(quote)
    spaced = frozenset(filterfalse(is_unspaced, words))
    spaced |= frozenset(map(stem, map(without_umlaut, spaced)))
    return Triggers(
        concepts=minds,
        also=also,
        words=spaced,
        quoted=frozenset(content(quote)),
        distinctive=spaced - _in_known_phrases(f"{about}\n{quote}", frozenset(fitting)) - _names_of_diets(kind, spaced),
        # The rest of the quote says what is meant only if the danger itself is not known.
        terms=_terms(about) or (() if fitting else _terms(quote)),
        phrases=_new_phrases(touches, words),
        own=relations().gathered(fitting, lambda concept: concept.own),
        is_known=bool(fitting),
        by_sight=any(relations().concepts[name].sight for name in fitting),
    )


@cache
def _threats_of(kind: Kind) -> Names:
    """Return what every constraint of a kind minds, such as leaving the remedy at home."""
    concepts = relations().concepts
    return frozenset(name for name, concept in concepts.items() if kind in concept.threatens)


def _concepts_named(kind: Kind, text: str) -> list[str]:
    """Return the concepts that a constraint's words name, if a constraint of its kind can be about them."""
    concepts = relations().concepts
    named = relations().named(split(text))
    fitting = [name for name in named if kind in concepts[name].kinds]
    if fitting:
        # Panic attacks are an illness, and panic attacks at heights are a fear as well.
        kinds = relations().gathered(fitting, lambda concept: concept.like) | {kind}
        return [name for name in named if kinds & concepts[name].kinds]
    # They are known for another kind of constraint only, which is better than unknown.
    return [name for name in named if concepts[name].kinds]


def _new_phrases(touches: tuple[str, ...], words: list[str]) -> frozenset[Phrase]:
    """Return the stems of each generated phrase, without those that the constraint's own words have already."""
    phrases: set[Phrase] = set()
    for touch in touches:
        phrases.add(tuple(sorted(set(content(touch)) - set(words))))
    return frozenset(phrases - {()})


def _in_known_phrases(text: str, concepts: Names) -> Names:
    """Return the stems of the phrases of several words by which a text names concepts."""
    stems: set[str] = set()
    for phrase, names in relations().found(split(text)):
        if " " in phrase and names & concepts:
            stems.update(map(stem, phrase.split()))
    return frozenset(stems)


def _names_of_diets(kind: Kind, stems: Names) -> Names:
    """Return the words that name a way of eating: what is called vegan is what a vegan may have."""
    if kind != "dietary":
        return frozenset()
    concepts = relations().concepts
    named = {word: relations().named([word]) for word in stems}
    return frozenset(word for word, names in named.items() if names and not any(concepts[name].met for name in names))


# What stands between the names of things, and says nothing about what is feared.
_BETWEEN = re.compile(
    "[\u3041-\u309f]*(?:アレルギー|恐怖症|中毒|不耐症|過敏症)[\u3041-\u309f]*|过敏症?|過敏症?|恐惧症?|恐懼症?|不耐受?"
    "|友人|友達|親友|息子|子供|祖母|祖父|両親|恋人|彼氏|彼女|同僚|家族"
    "|对|對|我|的|了|是|有|不|会|會|能|很|在|和|与|與|及|吃|喝|怕|私|僕"
)
_HIRAGANA_ONLY = re.compile("[\u3041-\u309fー]+")


def _terms(text: str) -> tuple[str, ...]:
    """Return the names of things in the parts of a text that are in scripts without spaces."""
    terms: list[str] = []
    for run in filter(is_unspaced, split(text)):
        for part in filter(None, _BETWEEN.split(run)):
            # Japanese writes endings and particles in hiragana: what stands between them are the words.
            if _HIRAGANA_ONLY.fullmatch(part):
                # A single character of these is an ending or a particle.
                terms += [part] if len(part) > 1 else []
                continue
            # One character cut out of a phrase is no name: "高い" is in "最高".
            terms += [term for term in re.split("[\u3041-\u309f]+", part) if len(term) > 1 or term == part]
    return tuple(dict.fromkeys(terms))
