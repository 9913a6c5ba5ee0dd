"""What brings which danger near, as data: general knowledge, one TOML file per field, read once at the first message.

A concept has `words` that speak of it, in several languages: phrases between commas, `*` for any ending, or in front of
a word for any beginning. Phrases in scripts without spaces are found anywhere in a run of characters.

A request that speaks of a concept also speaks of what it `brings`, and may speak of what stands under `may` (a curry
may have nuts in it). A constraint that names a concept also `minds` others, each of them enough, and minds a little
what stands under `also`, of which it takes two.

A word may have alternatives, of which one may be empty: "leave|forget my| inhaler" is four phrases.

A file says by which `kinds` of constraints its concepts can be named; with `met = false`, that no request speaks of
them; with `shown = true`, that a request which speaks of them asks to watch or read; with `sight = true`, that seeing
is enough to bring them on; with `field`, in which field a request that speaks of them asks for something; with `own`,
which fields are a constraint's own that names them; with `threatens`, constraints of which kinds mind it, whatever they
name; and with `like`, of which other kinds a constraint that names it can be as well. Each of these but `kinds` may
stand in a concept instead.

`substitutes.toml` holds the words that do not speak for themselves next to certain others: "coconut milk".
`by_language` holds more words of the concepts, one file per language. `lookalikes.toml` holds, by language, everyday
words that are a danger in another language only: the English "patent" is no Italian driving licence.
`apart.toml` holds the words that only begin like one of a concept. `common.toml` holds the words that say nothing about
what is asked. `idioms.toml` holds the phrases that are not to be taken by their words.
"""

import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import product
from typing import Any, NamedTuple, TypeVar

from mirror_graph.ledger.chinese import simplified
from mirror_graph.ledger.languages import language_of_words
from mirror_graph.ledger.words import is_unspaced, split, stem, without_umlaut

LONGEST_WORD = 32
"""Letters of a word that are looked at."""

LONGEST = 5
"""Words of the longest phrase."""

BEGINNING = 5
"""Letters from which on a word's beginning stands for the word; a shorter one takes a few endings only."""

SHORT_BEGINNING = 3
"""Letters from which on it does so behind another word: "altitude sick*" means one thing only."""

ENDINGS = ("", "e", "er", "y", "en", "a", "o", "i")

Phrase = tuple[str, ...]
Names = frozenset[str]

_ROOM = files("mirror_graph.relevance.relations")


_Key = TypeVar("_Key")


class Concept(NamedTuple):
    """What a request that speaks of it brings, itself included; what a constraint minds that names it; and who may.

    `fields` is where a request that speaks of it asks for something, `own` where a constraint that names it matters.
    """

    brings: Names
    may: Names
    minds: Names
    also: Names
    kinds: Names
    fields: Names
    own: Names
    threatens: Names
    like: Names
    met: bool
    shown: bool
    sight: bool


class Relations(NamedTuple):
    """The concepts, and which of them a phrase of stems speaks of, or a word that only begins or ends so."""

    concepts: Mapping[str, Concept]
    phrases: Mapping[Phrase, Names]
    beginnings: Mapping[Phrase, Mapping[str, Names]]
    endings: Mapping[str, Names]
    characters: Mapping[str, Mapping[str, Names]]
    common: Names
    vocabulary: Names
    idioms: Mapping[str, tuple[Phrase, ...]]
    behind: Mapping[str, Names]
    """Words that do not speak for themselves behind certain others: "milk" behind "coconut"."""
    before: Mapping[str, Names]
    """The same in front of others: "oyster" in front of "mushroom"."""
    apart: Mapping[str, tuple[str, ...]]
    """How words begin that a beginning does not stand for: "watermelon" under "water"."""
    lookalikes: Mapping[str, Mapping[str, Names]]
    """What a word speaks of, by the language of its text, where other languages know it in another sense."""

    def gathered(self, names: Iterable[str], read: Callable[[Concept], Names]) -> Names:
        """Return together what `read` returns for each of the concepts `names`."""
        found: set[str] = set()
        for name in names:
            found |= read(self.concepts[name])
        return frozenset(found)

    def without_idioms(self, words: list[str]) -> list[str]:
        """Leave out the phrases that are not to be taken by their words: "I get paid peanuts"."""
        left: list[str] = []
        place = 0
        while place < len(words):
            length = self._length_of_idiom(words, place)
            if length == 0:
                left.append(words[place])
            place += length or 1
        return left

    def _length_of_idiom(self, words: list[str], place: int) -> int:
        """Return how many words the longest idiom has that begins at `place`, or 0 if none does."""
        for idiom in self.idioms.get(words[place], ()):
            if tuple(words[place : place + len(idiom)]) == idiom:
                return len(idiom)
        return 0

    def named(self, words: Iterable[str]) -> Names:
        """Return the concepts that words from `split` speak of."""
        named: set[str] = set()
        for _, names in self.found(words):
            named |= names
        return frozenset(named)

    def found(self, words: Iterable[str]) -> Iterator[tuple[str, Names]]:
        """Find the phrases in words from `split`, each with the concepts it speaks of."""
        spelled = list(map(self.spelled, words))
        language: str | None = None
        for phrase, names in self._found(spelled):
            if phrase not in self.lookalikes:
                yield phrase, names
                continue
            # Most texts have no such word. For those that do, the language is counted once.
            if language is None:
                language = language_of_words(spelled)
            if meant := names & self.lookalikes[phrase].get(language, names):
                yield phrase, meant

    def spelled(self, word: str) -> str:
        """Return `word` with "ue" for "ü" undone, unless it is a word as it stands."""
        plain = without_umlaut(word)
        if plain == word or word in self.common or stem(word) in self.vocabulary:
            return word
        for length in range(BEGINNING, min(len(word), LONGEST_WORD) + 1):
            # A word is known that begins so, "ue" included: it is spelled with these two letters.
            if word[:length] in self.vocabulary:
                return word
        return plain

    def _found(self, words: list[str]) -> Iterator[tuple[str, Names]]:
        stems = tuple(map(stem, words))
        for start, word in enumerate(words):
            if is_unspaced(word):
                # Words of Chinese are listed in simplified characters, those of Japanese in its own.
                for run in dict.fromkeys((word, simplified(word))):
                    yield from self._inside(run)
                continue
            # A common word says nothing alone. It may still open a phrase, as the "milk" of coconut milk may.
            counts_alone = word not in self.common and not self._is_substitute(words, start)
            for last in range(start if counts_alone else start + 1, min(start + LONGEST, len(words))):
                names = self.phrases.get(stems[start : last + 1])
                if names:
                    yield " ".join(words[start : last + 1]), names
                begun = self.beginnings.get(stems[start:last])
                if begun:
                    yield from self._by_beginning(begun, words, start, last)
            if counts_alone:
                yield from self._by_ending(word)

    def _by_beginning(
        self, begun: Mapping[str, Names], words: list[str], start: int, last: int
    ) -> Iterator[tuple[str, Names]]:
        """Find the phrases whose last word is only begun: "altitude sick*"."""
        shortest = BEGINNING if last == start else SHORT_BEGINNING
        for length in range(shortest, min(len(words[last]), LONGEST_WORD) + 1):
            beginning = words[last][:length]
            names = begun.get(beginning)
            if names and not words[last].startswith(self.apart.get(beginning, ())):
                yield " ".join(words[start : last + 1]), names

    def _is_substitute(self, words: list[str], place: int) -> bool:
        """Say whether a word only names what another food stands in for."""
        word = words[place]
        return not self.behind.get(word, frozenset()).isdisjoint(words[max(0, place - 1) : place]) or not (
            self.before.get(word, frozenset()).isdisjoint(words[place + 1 : place + 2])
        )

    def _by_ending(self, word: str) -> Iterator[tuple[str, Names]]:
        """Find what the end of a compound names."""
        if len(word) > BEGINNING:
            for length in range(4, min(len(word), LONGEST_WORD)):
                names = self.endings.get(word[-length:])
                if names:
                    yield word, names

    def _inside(self, run: str) -> Iterator[tuple[str, Names]]:
        """Find the phrases in a run of characters; of two that begin at one place, the longer one counts."""
        place = 0
        while place < len(run):
            fitting = [phrase for phrase in self.characters.get(run[place], ()) if run.startswith(phrase, place)]
            if not fitting:
                place += 1
                continue
            longest = max(fitting, key=len)
            yield longest, self.characters[run[place]][longest]
            place += len(longest)


@cache
def relations() -> Relations:
    """Read every field, and the words by language."""
    fields = _load_fields()
    spelled = _Spelled()
    concepts = _concepts(fields, spelled)
    in_every_language = _relations(fields, concepts, spelled)
    by_language: dict[str, Relations] = {}
    for code, words in _words_by_language():
        in_this_language = _Spelled()
        for name, spellings in words.items():
            in_this_language.add_all(spellings, name)
        by_language[code] = _spelled_as(in_every_language, in_this_language)
        spelled.add_those_of(in_this_language)
    lookalikes = _lookalikes(fields["lookalikes"], in_every_language, by_language)
    return _spelled_as(in_every_language, spelled)._replace(lookalikes=lookalikes)


def _concepts(fields: Mapping[str, dict[str, Any]], spelled: "_Spelled") -> dict[str, Concept]:
    """Return the concepts of every field by name, and add their words to `spelled`."""
    direct: dict[str, Concept] = {}
    for file, field in fields.items():
        if file in _NO_CONCEPTS:
            continue
        defaults = {key: value for key, value in field.items() if not isinstance(value, dict)}
        for name, entry in field.items():
            if name in defaults:
                continue
            direct[name] = _concept(defaults | entry)
            spelled.add_all(entry["words"], name)
    return {name: concept._replace(brings=_closure(name, direct)) for name, concept in direct.items()}


def _relations(fields: Mapping[str, dict[str, Any]], concepts: Mapping[str, Concept], spelled: "_Spelled") -> Relations:
    substitutes = fields["substitutes"]["substitutes"]
    without_words = Relations(
        concepts=concepts,
        phrases={},
        beginnings={},
        endings={},
        characters={},
        vocabulary=frozenset(),
        common=frozenset(split(fields["common"]["words"])),
        idioms=_idioms(fields["idioms"]["phrases"]),
        behind=_neighbours(substitutes, "of"),
        before=_neighbours(substitutes, "with"),
        apart={beginning: tuple(split(words)) for beginning, words in fields["apart"].items()},
        lookalikes={},
    )
    return _spelled_as(without_words, spelled)


def _spelled_as(known: Relations, spelled: "_Spelled") -> Relations:
    """Return the same relations with their concepts spelled so, and not as before."""
    return known._replace(
        phrases=_frozen(spelled.phrases),
        beginnings={leading: _frozen(begun) for leading, begun in spelled.beginnings.items()},
        endings=_frozen(spelled.endings),
        characters={first: _frozen(begun) for first, begun in spelled.characters.items()},
        vocabulary=frozenset[str]().union(*spelled.phrases, *spelled.beginnings, *spelled.beginnings.values()),
    )


_NO_CONCEPTS = frozenset({"apart", "common", "idioms", "lookalikes", "substitutes"})
"""Files that hold no concepts."""


def _lookalikes(
    listed: Mapping[str, Mapping[str, str]], in_every_language: Relations, by_language: Mapping[str, Relations]
) -> Mapping[str, Mapping[str, Names]]:
    """Return what each lookalike speaks of in a text of its own language, whatever it is in others."""
    found: defaultdict[str, dict[str, Names]] = defaultdict(dict)
    for code, words in listed["listed_by_other_files"].items():
        for word in split(words):
            found[word][code] = in_every_language.named([word]) | _named_in(code, word, by_language)
    for code, words in listed["listed_by_fields"].items():
        for word in split(words):
            found[word][code] = _named_in(code, word, by_language)
    return found


def _named_in(code: str, word: str, by_language: Mapping[str, Relations]) -> Names:
    """Return what a language's own file says of a word. English has none, because the fields hold its words."""
    return by_language[code].named([word]) if code in by_language else frozenset()


def _load_fields() -> dict[str, dict[str, Any]]:
    """Return what each TOML file of this folder holds, by the file's name."""
    return {name.removesuffix(".toml"): table for name, table in _tables(_ROOM)}


def _words_by_language() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the code of each language, and the words that its file adds to concepts."""
    for name, table in _tables(_ROOM.joinpath("by_language")):
        yield name.removesuffix(".toml"), table


def _tables(folder: Traversable) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each TOML file of a folder, and what it holds."""
    for file in folder.iterdir():
        if file.name.endswith(".toml"):
            yield file.name, tomllib.loads(file.read_text("utf-8"))


def _neighbours(substitutes: Iterable[Mapping[str, str]], side: str) -> dict[str, Names]:
    """Return, of every name, the words on one side of it that take its place."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for entry in substitutes:
        if side in entry:
            for name in entry["names"].split(","):
                found[name.strip()] |= {word.strip() for word in entry[side].split(",")}
    return {name: frozenset(words) for name, words in found.items()}


def _idioms(phrases: str) -> dict[str, tuple[Phrase, ...]]:
    """Return the idioms by their first word, the longest first."""
    found: defaultdict[str, list[Phrase]] = defaultdict(list)
    for phrase in _phrases(phrases):
        words = tuple(split(phrase))
        if words:
            found[words[0]].append(words)
    return {first: tuple(sorted(begun, key=len, reverse=True)) for first, begun in found.items()}


def _phrases(text: str) -> Iterator[str]:
    """Return the phrases between commas, those with alternatives in each of their forms."""
    for phrase in text.split(","):
        if "|" not in phrase:
            yield phrase
            continue
        for words in product(*(alternatives.split("|") for alternatives in phrase.split())):
            yield " ".join(words)


class _Spelled:
    """The names of concepts by the four ways in which their words are found in a text."""

    def __init__(self) -> None:
        self.phrases: defaultdict[Phrase, set[str]] = defaultdict(set)
        self.beginnings: defaultdict[Phrase, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.endings: defaultdict[str, set[str]] = defaultdict(set)
        self.characters: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def add_all(self, spellings: str, name: str) -> None:
        """Add the spellings of the concept `name`, which stand between commas."""
        for spelling in _phrases(spellings):
            self._add(spelling, name)

    def add_those_of(self, other: "_Spelled") -> None:
        """Add all that `other` holds."""
        _add_names(self.phrases, other.phrases)
        _add_names(self.endings, other.endings)
        for leading, begun in other.beginnings.items():
            _add_names(self.beginnings[leading], begun)
        for first, runs in other.characters.items():
            _add_names(self.characters[first], runs)

    def _add(self, spelling: str, name: str) -> None:
        """Add one spelling of the concept `name`: words, with a star where any ending or any beginning may stand."""
        words = split(spelling)
        if not words:
            return
        *first, last = words
        if is_unspaced(words[0]):
            # Scripts without spaces: a run of characters is looked for by its first one.
            run = "".join(words)
            self.characters[run[0]][run].add(name)
            return
        if spelling.lstrip().startswith("*"):
            self.endings[last].add(name)
            return
        leading = tuple(map(stem, first))
        if not spelling.rstrip().endswith("*"):
            self.phrases[*leading, stem(last)].add(name)
            return
        if len(last) >= (SHORT_BEGINNING if first else BEGINNING):
            self.beginnings[leading][last].add(name)
            return
        # A short word begins too many others, so only these endings count.
        for ending in ENDINGS:
            self.phrases[*leading, stem(last + ending)].add(name)


def _add_names(names: defaultdict[_Key, set[str]], others: Mapping[_Key, set[str]]) -> None:
    for key, more in others.items():
        names[key] |= more


def content(text: str) -> list[str]:
    """Return the stems of the words that say something, and the runs of scripts without spaces."""
    common = relations().common
    return [stem(word) for word in split(text) if word not in common and (len(word) > 2 or is_unspaced(word))]


def _concept(entry: Mapping[str, Any]) -> Concept:
    return Concept(
        brings=frozenset(entry.get("brings", ())),
        may=frozenset(entry.get("may", ())),
        minds=frozenset(entry.get("minds", ())),
        also=frozenset(entry.get("also", ())),
        kinds=frozenset(entry.get("kinds", ())),
        fields=frozenset({entry["field"]} if "field" in entry else ()),
        own=frozenset(entry.get("own", ())),
        threatens=frozenset(entry.get("threatens", ())),
        like=frozenset(entry.get("like", ())),
        met=entry.get("met", True),
        shown=entry.get("shown", False),
        sight=entry.get("sight", False),
    )


def _frozen(found: Mapping[_Key, set[str]]) -> dict[_Key, Names]:
    return {key: frozenset(names) for key, names in found.items()}


def _closure(name: str, concepts: Mapping[str, Concept]) -> Names:
    """Follow `brings` to its end."""
    reached, unfollowed = {name}, [name]
    while unfollowed:
        new = concepts[unfollowed.pop()].brings - reached
        reached |= new
        unfollowed += new
    return frozenset(reached)
