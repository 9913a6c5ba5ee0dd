"""How much speaks for it that a text touches a constraint: a comparison in a few milliseconds, without a model call."""

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from mirror_graph.relevance.exposure import can_touch
from mirror_graph.relevance.relations import Concept, Names, Phrase, content, relations
from mirror_graph.relevance.spelling import is_unspaced, split, stem, without_umlaut
from mirror_graph.state.values import Kind, SafetyConstraint

ENOUGH = 1.0
"""The evidence from which on a constraint counts as touched."""

HALF = 10_000
"""A text of more than twice so many characters is read at its beginning and at its end."""

SENSED = frozenset({"sight", "hearing", "eye-strain", "loud", "dark", "sitting", "sleep-loss", "motion-trigger", "gaming"})
"""What watching itself asks of a body, whatever is shown."""

READ_FROM = 4
"""From how many words on a text in which hardly a word is known counts as one that cannot be read."""

READ_SHARE = 0.2

COMPOUND = 6
"""Letters from which on a constraint's own word is found at the beginning of a compound."""

NAMED_BY_STATE: frozenset[Kind] = frozenset({"medical", "physical", "medication"})
"""Kinds whose constraints name a state or a remedy, and not what is dangerous to it."""

_NOTHING: Names = frozenset()

# What is named to be left out, or given up, is not asked for: "peanut-free", "non-alcoholic", "without nuts".
_LEFT_OUT = re.compile(
    r"""
    \b(?:alcohol|gluten|nut|peanut|dairy|lactose|sugar|caffeine|egg|soy|wheat|meat|shellfish|smoke|fragrance|latex)[ -](?:free|frei\w*)\b(?:\ \w+)? | \b[^\W\d_]+-(?:free|frei\w*)\b
    | \b(?:alkohol|gluten|laktose|zucker|koffein|nuss|milch|rauch)freie?[nmrs]?\b(?:\ \w+)?
    | \bnon-(?:alcohol|smok|dairy|fat|spicy|drink|caffein|wheat|gluten)\w*(?:\ \w+)? | \bun-\w+ | \b(?:virgin|kid-friendly)\ (?!islands?\b|suicides\b)\w+(?:\ colada)?
    | \b(?:zero|non|low|no|less|little)[ -](?:alcohol(?:ic)?|sugar|caffeine|fat|dairy|smoking|nuts|gluten|peanuts|meat)\b(?:\ \w+)?
    | \b(?:without|ohne|sans|sin|senza|sem)\ (?:any\ |adding\ )?(?!eat|food|meal|sleep|insulin|medic|my|a\b|an\b|the\b|essen|schlaf|comer|dormir|manger|mangiare|dormire
        |aliment|presc|breath|rope|help|stop|water|rest|break|being|protect|sun|helmet|glasses|doctor)\w+(?:\ (?:and|or)\ \w+)?
    | \b(?:quit|quitting|stop|stopped|stopping|give\ up|giving\ up|cut\ down\ on|cutting\ down\ on|stay\ away\ from|avoid|avoiding|recover\ from|instead\ of
        |mit\ dem|mit\ der|aufh[oö]ren\ mit|dejar\ de|arr[eê]ter\ de|smettere\ di|parar\ de)\ (?:the\ )?
        (?:smok\w+|drink\w*|alcohol|booze|gambl\w+|bett\w+|vap\w+|cigarettes?|nicotine|tobacco|gaming|shopping|bing\w+|drugs|weed|rauchen|trinken|fumar|beber|fumer|boire|bere|jogar)
    | \bstay(?:ing)?\ sober\b | \b(?:aa|na|support\ group|12-step)\ meetings?\b | \bmocktails?\b | \b(?:root|ginger)\ beer\b | \bginger\ ale\b
    | 无酒精|不含[^\s，。]{1,4}|无麸质|無酒精|戒烟|戒酒|ノンアルコール|禁煙|断酒
    """,
    re.IGNORECASE | re.VERBOSE,
)

# To eat no salt is a danger of its own to some.
_LITTLE_SALT = re.compile(
    r"\b(?:(?:salt|sodium)[ -]free|(?:low|no|reduced)[ -](?:salt|sodium)|salz(?:arm|los)\w*|sin\ sal|sans\ sel|senza\ sale|sem\ sal)\b",
    re.IGNORECASE,
)

_MEDIUM = (
    r"films?|movies?|documentar(?:y|ies)|(?<!shop )(?<!ture )(?<!cert )(?<!race )(?<!class )(?<!event )(?<!ing )series(?! of\b)|sitcoms?|tv\ shows?|novels?|books?|podcasts?|thrillers?|comics?|cartoons?|anime|manga|memoirs?|biograph(?:y|ies)"
    r"|shooters?|video\ ?games?|filme?|serien?|b[uü]cher|buch|romane?|pel[ií]culas?|novelas?|libros?|roman|livres?|romanz[oi]|libr[oi]|livros?|filmes?"
)
# Only what a film or a book is about is shown: a snack at the movies is eaten, and a book fair is visited.
_SHOWN = re.compile(
    rf"""
    \b(?:watch(?:ing)?|read(?:ing)?|see|stream(?:ing)?|binge|recommend|suggest|best|good|which|what|play|find|is|schauen|ansehen|lesen|ver|leer|regarder|lire|voir|guardare|leggere|assistir|ler|any|a|an|the|some)\b
      [^.?!\n]{{0,60}}\b(?:{_MEDIUM})\b[^.?!\n]*
    | [^.?!\n。？！]*(?:电影|電影|小说|小説|映画|ドラマ|纪录片|連続剧|电视剧|漫画|アニメ)[^.?!\n。？！]*
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NAMES_MEDIUM = re.compile(rf"\b(?:{_MEDIUM})\b|[影映剧劇说説ドラマ漫画アニメ纪]", re.IGNORECASE)
_IN_PERSON = re.compile(
    r"\b(?:eat|eating|drink|drinking|snacks?|popcorn|dinner|restaurant|cook|festival|drive-in|concert|theme\ park|tour|marathon|signing|party"
    r"|essen|comer|manger|mangiare|beber|boire|bere)\b",
    re.IGNORECASE,
)


class Triggers(NamedTuple):
    """What a constraint is touched by: concepts, more of them that matter less, its own words, anticipated phrases.

    `own` is the fields that the concepts it names put it in. `is_known` says whether the relations know it.
    """

    concepts: Names
    also: Names
    words: Names
    terms: tuple[str, ...]
    phrases: frozenset[Phrase]
    own: Names
    is_known: bool
    sight: bool


class Reading(NamedTuple):
    """What a text speaks of: concepts, those that are only shown, those that may come with it, its words' stems.

    `beginnings` are those of its long words, for what stands first in a compound. `runs` is what of it stands in scripts without spaces; `fields` is where it asks for something, and
    `says_something` is false for a text of nothing but common words.
    """

    concepts: Names
    shown: Names
    possible: Names
    stems: Names
    beginnings: Names
    runs: str
    fields: Names
    phrases: tuple[Names, ...]
    is_readable: bool
    says_something: bool


def evidence(constraint: SafetyConstraint, words: str) -> float:
    """Count what speaks for it that words touch a constraint: concepts and words in common, anticipated phrases."""
    return weigh(constraint, read(words))


def is_related(constraint: SafetyConstraint) -> bool:
    """Say whether the relations know what a constraint is touched by."""
    return triggers_of(constraint).is_known


def warm_up() -> None:
    """Read the relations and compile the patterns, so that the first message does not wait for it."""
    relations()
    read("Shall we go?")


def weigh(constraint: SafetyConstraint, reading: Reading) -> float:
    """Count what speaks for it that a text touches a constraint."""
    triggers = triggers_of(constraint)
    met = reading.concepts
    if reading.shown and can_touch(constraint["kind"], "shown", triggered_by_sight=triggers.sight):
        met = met | reading.shown
    known = float(len(triggers.concepts & met))
    if not known:
        known = _little(triggers.also & met, reading) / 2
    # What usually comes with a dish is no certainty, however much of it there is.
    if not triggers.concepts.isdisjoint(reading.possible):
        known += 0.5
    # Whoever has an illness speaks of it without asking for what burdens it; what one is allergic to is the danger itself.
    if not (triggers.is_known and constraint["kind"] in NAMED_BY_STATE):
        known += 2 * _own_words(triggers, reading)
    if not triggers.phrases:
        return known
    # Of what a small model anticipates one word in a request is chance: it takes two, unless nothing else is known.
    weight = 0.5 if triggers.is_known else 1.0
    return known + weight * sum(len(phrase) for phrase in triggers.phrases if _has(reading, phrase))


def what_touches(constraint: SafetyConstraint, text: str) -> list[str]:
    """Return the words of a text that speak of what a constraint is touched by, without case and accents."""
    triggers = triggers_of(constraint)
    known = relations()
    touching: list[str] = []
    for phrase, names in known.found(known.without_idioms(split(_LEFT_OUT.sub(" . ", text)))):
        if not _brought(known.concepts[name] for name in names).isdisjoint(triggers.concepts | triggers.also):
            touching.append(phrase)
    touching += [word for word in split(text) if stem(word) in triggers.words]
    return list(dict.fromkeys(touching))


def triggers_of(constraint: SafetyConstraint) -> Triggers:
    """Return what a constraint is touched by."""
    touches = tuple(constraint.get("touches", ()))
    return _triggers(constraint["kind"], constraint["about"], constraint["source"]["quote"], touches)


def read(text: str) -> Reading:
    """Read a text once, for any number of constraints."""
    text = text if len(text) <= 2 * HALF else f"{text[:HALF]} {text[-HALF:]}"
    text = _LEFT_OUT.sub(" . ", _LITTLE_SALT.sub(" lowsalt ", text))
    shown = _shown_part(text)
    known = relations()
    words = known.without_idioms(split(text))
    found: dict[str, Names] = {}
    for phrase, names in known.found(known.without_idioms(split(text.replace(shown, " ", 1))) if shown else words):
        found[phrase] = found.get(phrase, _NOTHING) | names
    named = frozenset[str]().union(*found.values())
    depicted = known.named(known.without_idioms(split(shown))) if shown else _NOTHING
    concepts = known.concepts
    titles = frozenset(name for name in named if concepts[name].shown)
    in_person = _brought(concepts[name] for name in named - titles)
    pictured = _brought(concepts[name] for name in depicted | titles)
    possible = frozenset[str]().union(*(concepts[name].may for name in named | depicted))
    fields = frozenset[str]().union(*(concepts[name].fields for name in in_person | titles))
    telling = [word for word in words if word not in known.common]
    stems = frozenset(map(stem, telling)) | frozenset(stem(without_umlaut(word)) for word in telling)
    return Reading(
        in_person | (pictured & SENSED),
        pictured,
        possible,
        stems,
        frozenset(word[:length] for word in stems for length in range(COMPOUND, len(word))),
        " ".join(word for word in words if is_unspaced(word)),
        fields | ({"media"} if shown or titles else set()),
        tuple(_brought(concepts[name] for name in names) for names in found.values()),
        _is_readable(words, bool(named or depicted)),
        bool(named or depicted or content(text)),
    )


def _little(minor: Names, reading: Reading) -> int:
    """Count the concepts that matter a little, those that one phrase brings together as one."""
    if len(minor) < 2:
        return len(minor)
    return min(len(minor), sum(not minor.isdisjoint(brought) for brought in reading.phrases))


def owns_words(triggers: Triggers, reading: Reading) -> bool:
    """Say whether a text speaks in the constraint's own words."""
    return _own_words(triggers, reading) > 0


def _shown_part(text: str) -> str:
    """Return the part of a text that says what a film or a book is about, or `""`."""
    # The longer pattern is slow, and most texts name no film and no book.
    found = _SHOWN.search(text) if _NAMES_MEDIUM.search(text) else None
    return found[0] if found and not _IN_PERSON.search(found[0]) else ""


def _is_readable(words: list[str], names_something: bool) -> bool:
    """Say whether the words are in a language that the relations know."""
    if any(map(is_unspaced, words)):
        return names_something
    if len(words) < READ_FROM:
        return all(word.isascii() for word in words)
    common = relations().common
    return sum(word in common for word in words) / len(words) >= READ_SHARE


def _brought(concepts: Iterable[Concept]) -> Names:
    return frozenset[str]().union(*(concept.brings for concept in concepts if concept.met))


def _own_words(triggers: Triggers, reading: Reading) -> int:
    """Count the constraint's own words in a text, at the beginning of a compound too."""
    found = len(triggers.words & reading.stems) or len(triggers.words & reading.beginnings)
    if not reading.runs:
        return found
    return found + sum(_is_in(term, reading.runs) for term in triggers.terms)


def _is_in(term: str, runs: str) -> bool:
    """Say whether a term stands in runs of characters, whole or by most of it."""
    if term in runs:
        return True
    length = max(2, math.ceil(len(term) * 0.6))
    return any(term[start : start + length] in runs for start in range(len(term) - length + 1))


def _has(reading: Reading, phrase: Phrase) -> bool:
    return all(word in reading.runs if is_unspaced(word) else word in reading.stems for word in phrase)


@lru_cache(maxsize=4096)
def _triggers(kind: Kind, about: str, quote: str, touches: tuple[str, ...]) -> Triggers:
    concepts = relations().concepts
    named = relations().named(split(f"{about}\n{quote}"))
    fitting = [name for name in named if kind in concepts[name].kinds]
    if not fitting:
        fitting = [name for name in named if concepts[name].kinds]
    minds = frozenset(fitting).union(*(concepts[name].minds for name in fitting))
    also = frozenset[str]().union(*(concepts[name].also for name in fitting)) - minds
    words = content(about) or content(quote)
    spaced = frozenset(word for word in words if not is_unspaced(word))
    phrases = {tuple(sorted(set(content(touch)) - set(words))) for touch in touches}
    return Triggers(
        minds,
        also,
        spaced | frozenset(stem(without_umlaut(word)) for word in spaced),
        terms_of(about) or terms_of(quote),
        frozenset(phrases - {()}),
        frozenset[str]().union(*(concepts[name].own for name in fitting)),
        bool(fitting),
        any(concepts[name].sight for name in fitting),
    )


# What stands between the names of things, and says nothing about what is feared.
_BETWEEN = re.compile(
    "[\u3041-\u309f]*(?:アレルギー|恐怖症|中毒|不耐症|過敏症)[\u3041-\u309f]*|过敏症?|過敏症?|恐惧症?|恐懼症?|不耐受?|对|對|我|的|了|是|有|不|会|會|能|很|在|和|与|與|及|吃|喝|怕|私|僕"
)
_KANA_ONLY = re.compile("[\u3041-\u309fー]+")


@lru_cache(maxsize=4096)
def terms_of(text: str) -> tuple[str, ...]:
    """Return the names of things in what of a text stands in scripts without spaces."""
    terms: list[str] = []
    for run in filter(is_unspaced, split(text)):
        for part in _BETWEEN.split(run):
            # Japanese writes endings and particles in hiragana: what stands between them are the words.
            whole = [part] if _KANA_ONLY.fullmatch(part) else re.split("[\u3041-\u309f]+", part)
            terms += [term for term in whole if term]
    return tuple(dict.fromkeys(terms))

