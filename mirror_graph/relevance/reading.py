"""What a text mentions, read once for any number of constraints."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mirror_graph.ledger.words import is_unspaced, split, stem, without_umlaut
from mirror_graph.relevance.relations import LONGEST_WORD, Names, content, relations
from mirror_graph.relevance.wording import pattern

HALF = 5_000
"""A text of more than twice so many characters is read at its beginning and at its end."""

SENSED = frozenset(
    {"sight", "hearing", "eye-strain", "loud", "dark", "sitting", "sleep-loss", "motion-trigger", "gaming"}
)
"""What watching itself asks of a body, whatever is shown."""

READABLE_FROM = 4
"""From how many words on a text in which hardly a word is known counts as one that cannot be read."""

READABLE_SHARE = 0.2

COMPOUND = 6
"""Letters from which on a word is looked for at the beginning of a compound."""


class Reading(NamedTuple):
    """What a text speaks of.

    `concepts` may be met in person, `shown` are only shown, and `possible` may come with what is named. `stems` and
    `shown_stems` are those of its words, and `beginnings` those of long ones, for what stands first in a compound.
    `runs` is what stands in scripts without spaces. `fields` is where the text asks for something. `phrases` holds what
    each phrase brings. `says_something` is false for a text of nothing but common words.
    """

    concepts: Names
    shown: Names
    possible: Names
    stems: Names
    shown_stems: Names
    beginnings: Names
    runs: str
    fields: Names
    phrases: tuple[Names, ...]
    is_readable: bool
    says_something: bool


def read(text: str) -> Reading:
    """Read a text: say what it speaks of, and whether that is met in person or only shown."""
    whole = bounded(text)
    text = wanted_part(whole)
    # A film about a peanut farm shows peanuts and serves none, so the two parts are read apart.
    shown_text = _shown_part(text)
    rest = text.replace(shown_text, " ", 1) if shown_text else text
    found, shown_found = _found(rest), _found(shown_text)
    named = frozenset[str]().union(*found.values())
    titles = _titles_among(named)
    depicted = titles.union(*shown_found.values())
    met, shown = brought_by(named - titles), brought_by(depicted)
    stems, shown_stems = _stems(rest), _stems(shown_text)
    # Whoever asks for a snack without peanuts asks for a snack.
    asked_for = met if text == whole else brought_by(_named(whole))
    fields = relations().gathered(asked_for | titles, lambda concept: concept.fields)
    if depicted or shown_text:
        fields |= {"media"}
    words = split(text)
    return Reading(
        concepts=met | (shown & SENSED),
        shown=shown,
        possible=relations().gathered(named | depicted, lambda concept: concept.may),
        stems=stems,
        shown_stems=shown_stems,
        beginnings=_beginnings(stems | shown_stems),
        runs=" ".join(filter(is_unspaced, words)),
        fields=fields,
        phrases=tuple(map(brought_by, (*found.values(), *shown_found.values()))),
        is_readable=_is_readable(words, bool(named or depicted)),
        says_something=bool(named or depicted or stems or shown_stems or content(text)),
    )


def _titles_among(names: Names) -> Names:
    """Return those of these concepts that are watched or read, such as a film by its title."""
    concepts = relations().concepts
    return frozenset(name for name in names if concepts[name].shown)


def _beginnings(stems: Names) -> Names:
    """Return the beginnings of words under which a compound of theirs may be found."""
    found: set[str] = set()
    for word in stems:
        for length in range(COMPOUND, min(len(word), LONGEST_WORD)):
            found.add(word[:length])
    return frozenset(found)


def bounded(text: str) -> str:
    """Return the beginning and the end of a text that is very long, else all of it."""
    return text if len(text) <= 2 * HALF else f"{text[:HALF]} {text[-HALF:]}"


def wanted_part(text: str) -> str:
    """Return what a text wants, with the height that a figure names spelled out.

    What it names to avoid or to give up is left out: "peanut-free", "without alcohol", "how do I quit smoking".
    """
    wanted = pattern("left_out").sub(" . ", pattern("little_salt").sub(" lowsalt ", text))
    # A figure names no height that the relations know, so its height is written behind it.
    wanted = pattern("high_up").sub(r"\g<0> high altitude ", wanted)
    # Whoever watches a sport meets its crowd, and none of its strain.
    is_watched = pattern("watched").search(wanted) and not pattern("played").search(wanted)
    return pattern("sport").sub(" stadium ", wanted) if is_watched else wanted


def left_out_part(text: str) -> str:
    """Return the words by which a text leaves something out: "egg-free", "without nuts"."""
    return " ".join(found[0] for found in pattern("left_out").finditer(text))


def _shown_part(text: str) -> str:
    """Return the part of a text that says what a film or a book is about, or `""`."""
    # The longer pattern is slow, and most texts name no film and no book.
    found = pattern("shown").search(text) if pattern("names_medium").search(text) else None
    if not found or pattern("in_person").search(pattern("about").split(found[0])[0]):
        return ""
    return found[0]


def _found(text: str) -> Mapping[str, Names]:
    """Return the phrases of a text that the relations know, each with the concepts it speaks of."""
    found: dict[str, Names] = {}
    for phrase, names in relations().found(relations().without_idioms(split(text))):
        found[phrase] = found.get(phrase, frozenset()) | names
    return found


def _named(text: str) -> Names:
    return frozenset[str]().union(*_found(text).values())


def brought_by(names: Iterable[str]) -> Names:
    """Return what a text brings near that speaks of these concepts."""
    concepts = relations().concepts
    brought: set[str] = set()
    for name in names:
        if concepts[name].met:
            brought |= concepts[name].brings
    return frozenset(brought)


def _stems(text: str) -> Names:
    """Return the stems of the words that say something, with "ue" as it stands and as "ü"."""
    common = relations().common
    stems: set[str] = set()
    for word in relations().without_idioms(split(text)):
        if word not in common:
            stems |= {stem(word), stem(without_umlaut(word))}
    return frozenset(stems)


def _is_readable(words: list[str], names_something: bool) -> bool:
    """Say whether the words are in a language that the relations know."""
    # Scripts without spaces have no common words to count.
    if any(map(is_unspaced, words)):
        return names_something
    # Of a few words, one that is not known says little. Only an accent or another script speaks against them.
    if len(words) < READABLE_FROM:
        return all(map(str.isascii, words))
    common = relations().common
    return sum(word in common for word in words) / len(words) >= READABLE_SHARE
