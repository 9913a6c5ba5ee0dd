"""Gates: a pattern that matches a text is never held back, and most of those that do not match are."""

import gc
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mirror_graph.guard.warming import warm_up
from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.gates import Gates, words_of
from mirror_graph.ledger.lexicon import Pattern, Words, lexicon

LITERALS = ("a", "b", "ab", "b'a", " ", ", ", "a b", "ba ba", "A", "abababababab")
OTHERS = ("[ab]", "[^a]", "[a-c ]", r"\w", ".", r"\b", r"\A", r"\Z", "(?!)", "{name}", "{other}|{name}")
FORMS = ("(?:{})?", "(?:{}){{1,2}}", "(?:{}){{2}}+", "(?:{}){{0,2}}?")
FORMS_OF_CONDITIONS = ("(?={})", "(?!{})", "(?<={})", "(?<!{})", "(?>{})", "(?i:{})")


def _larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Make patterns of smaller ones."""
    several = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        several.map("".join),
        several.map(lambda branches: f"(?:{'|'.join(branches)})"),
        st.builds(str.format, st.sampled_from(FORMS + FORMS_OF_CONDITIONS), parts),
    )


patterns = st.recursive(st.sampled_from(LITERALS + OTHERS), _larger, max_leaves=12)
texts = st.lists(st.sampled_from([*LITERALS, "c", "B"]), max_size=8).map("".join)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _clauses() -> list[str]:
    """Return the clauses of all probes, in every language."""
    clauses: list[str] = []
    for file in sorted((Path(__file__).parent / "probes").rglob("*.toml")):
        for text in _strings(tomllib.loads(file.read_text(encoding="utf-8"))):
            clauses += re.split(r"(?<=[,.;!?\u3002\u3001\uff0c]) ?", text)
    return [clause for clause in clauses if clause]


@given(source=patterns, name=patterns, text=texts)
def test_a_pattern_that_matches_is_admitted(source: str, name: str, text: str) -> None:
    words = Words({"name": f"(?:{name.replace('{name}', 'a')})", "other": "(?:ab|b)"})
    try:
        re.compile(words.fill(source))
    except re.error:  # a condition on what stands before needs a fixed length
        assume(False)
    pattern = Pattern(source, words)
    if pattern.search(text):
        assert pattern in Gates([pattern]).admitted(words_of(text))


@pytest.mark.slow
@given(st.lists(st.sampled_from(_clauses()), min_size=1, max_size=6).map(" ".join))
def test_a_rule_that_matches_is_never_skipped(text: str) -> None:
    folded = fold(text, text).text
    for language in lexicon().languages:
        admitted = language.gates.admitted(words_of(folded))
        for frame in language.frames:
            assert frame.pattern in admitted or not frame.pattern.search(folded)
        rules = [*language.statements.at_clause, *language.statements.anywhere]
        for frame in language.frames:
            rules += frame.predicates
        for rule in rules:
            assert rule.pattern in admitted or not rule.pattern.search(folded)


@pytest.mark.parametrize(
    ("source", "text", "is_admitted"),
    [
        ("allerg(?:y|ic)", "an allergy", True),
        ("allerg(?:y|ic)", "a gallery", False),
        ("(?:nut|milk|hypertension) (?:allergy|intolerance)", "hypertensive, with an intolerance", True),
        ("(?:nut|milk) (?:allergy|intolerance)", "nuts, and no allergies", False),
        ("(?:very )?{illness}", "no asthma", True),
        ("(?:very )?{illness}", "very well", False),
        ("(?=.*gluten)no .*", "no bread", False),
        (r"\w+ (?:of|{illness})", "asthma", True),
        ("(?i)asthma", "ASTHMA", True),
        (r"(\w+) \1", "so so", True),
        ("[aeiou]{2}", "tea", True),
        ("", "", True),
    ],
)
def test_a_pattern_is_admitted_by_the_words_that_it_requires(source: str, text: str, is_admitted: bool) -> None:
    pattern = Pattern(source, Words({"illness": "(?:asthma|diabetes|{rare})", "rare": "(?:lupus|gout)"}))
    assert (pattern in Gates([pattern]).admitted(words_of(text))) is is_admitted


@pytest.mark.parametrize(
    "text", ["a friend of mine plays the cello, and we talk about the weather", "i am going to the beach tomorrow"]
)
def test_few_rules_are_tried_on_a_sentence_without_a_danger(text: str) -> None:
    english = lexicon().languages[0]
    patterns_of_rules = set(english.patterns())
    assert len(patterns_of_rules) > 300
    assert len(english.gates.admitted(words_of(text))) < 0.1 * len(patterns_of_rules)


@pytest.mark.slow
@pytest.mark.parametrize("is_enabled", [True, False])
def test_warming_up_leaves_the_collector_as_it_was(is_enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        warm_up()
        assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
