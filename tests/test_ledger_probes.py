"""The ledger, probed: what is not the user's, what hides in odd spelling, what a model only claims, what is over."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mirror_graph.ledger import scan
from mirror_graph.ledger.identity import normalised
from mirror_graph.ledger.notes import LedgerNotes, verify_notes
from mirror_graph.ledger.retraction import denied
from mirror_graph.ledger.update import update_ledger
from mirror_graph.ledger.user_messages import UserMessage, scan_messages
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import active

HERE = Path(__file__).parent
FACT = "I'm severely allergic to peanuts, they could kill me."
LEDGER = update_ledger([], [UserMessage(1, "m1", FACT)], None, at=1.0)


def probes(group: str) -> list[Any]:
    files = sorted((HERE / "probes").glob("ledger*.toml"))
    return [probe for file in files for probe in tomllib.loads(file.read_text(encoding="utf-8"))[group]]


def own(text: str) -> list[SafetyConstraint]:
    return [constraint for constraint in scan(text) if constraint["subject"] == "user"]


def peanuts_after_a_retraction_of(text: str) -> list[SafetyConstraint]:
    """Return the peanut allergy as it holds after a thinker noted `text` as a retraction."""
    messages = [UserMessage(2, "m2", text)]
    notes = verify_notes(LedgerNotes(told=[], taken_back=[text], no_danger=[]), messages, [], 2, 2.0)
    after = active(update_ledger(LEDGER, messages, notes, at=2.0))
    return [constraint for constraint in after if (constraint["kind"], constraint["about"]) == ("allergy", "peanuts")]


@pytest.mark.parametrize("first", range(0, len(probes("not_the_users")), 200))
def test_what_is_no_danger_of_the_users_own_is_not_found(first: int) -> None:
    """Two hundred messages per test, because a test each would take longer to set up than to run."""
    found = {text: own(text) for text in probes("not_the_users")[first : first + 200]}
    assert {text: constraints for text, constraints in found.items() if constraints} == {}


def test_messages_about_dangers_that_state_no_constraint_are_hardly_ever_scanned() -> None:
    messages = tomllib.loads((HERE / "probes" / "no_constraint.toml").read_text(encoding="utf-8"))["messages"]
    scanned = [message for message in messages if own(message)]
    assert len(scanned) <= 0.04 * len(messages), scanned


@pytest.mark.parametrize(("text", "danger"), probes("hidden"))
def test_what_a_person_would_understand_is_found(text: str, danger: str) -> None:
    assert any(normalised(danger) in normalised(constraint["about"]) for constraint in own(text))


@pytest.mark.parametrize("kind", ["allergy", "medical", "phobia"])
@pytest.mark.parametrize(("text", "quote", "about"), probes("no_danger"))
def test_a_model_alone_makes_nothing_life_threatening(text: str, quote: str, about: str, kind: Any) -> None:
    claim = {"quote": quote, "about": about, "kind": kind, "severity": "life-threatening", "whose": "user"}
    messages = [UserMessage(1, "m1", text)]
    answer = LedgerNotes.model_validate({"told": [claim]})
    ledger = update_ledger([], messages, verify_notes(answer, messages, scan_messages(messages), 1, 1.0), at=1.0)
    assert [constraint for constraint in active(ledger) if constraint["severity"] == "life-threatening"] == []


@pytest.mark.parametrize("text", probes("not_taken_back"))
def test_what_does_not_say_that_it_is_over_takes_nothing_back(text: str) -> None:
    assert [constraint["severity"] for constraint in peanuts_after_a_retraction_of(text)] == ["life-threatening"]
    assert denied(LEDGER, text) == []


@pytest.mark.parametrize("text", probes("taken_back"))
def test_what_plainly_says_that_it_is_over_takes_it_back(text: str) -> None:
    assert peanuts_after_a_retraction_of(text) == []


@pytest.mark.parametrize("text", probes("taken_back"))
def test_a_plain_denial_is_known_without_a_model(text: str) -> None:
    assert denied(LEDGER, text) == [LEDGER[0]["id"]]


HARMLESS = """
I have two kids | I have a hypothesis about dark matter | I take the bus | I take sugar in my coffee
I'm on vacation | I have a meeting | I have cold feet about the wedding | I have a burning question
I have a stroke of genius | I had an operation manual | I had a replacement phone | I have a crush on her
I'm a coffee drinker | I'm expecting a package | I am nursing a drink | I have a drinking buddy | I take vitamins
I take pictures | I use ice packs | I'm 30 years old | I have 70 years of experience | I'm blind to color schemes
I have a cancer research grant | I have a diabetes fundraiser | I am recovering from a long day
I'm suffering from writer's block | I suffer from jet lag | I live with my parents | I have trouble with my router
I have an addiction to this show | I'm addicted to this song | I work with addicts | I'm a hoarder of books
I have a piano recital | I have mixed feelings | I have a memory leak | I caught a fish | I caught a train
I was born with a silver spoon | I have night shifts | I have poor internet | I have high hopes
I have a loss of data | I have a mental block | I have vision for the company
"""


@pytest.mark.parametrize("text", [text.strip() for text in HARMLESS.strip().replace("\n", " | ").split(" | ")])
def test_what_only_sounds_like_a_condition_is_none(text: str) -> None:
    assert own(f"{text}.") == []


def constraint_stated_in(text: str) -> list[SafetyConstraint]:
    return update_ledger([], [UserMessage(1, "m1", text)], None, at=1.0)


@pytest.mark.parametrize(
    ("stated", "denial"),
    [
        ("I'm six months pregnant.", "I had the baby last week, I'm not pregnant anymore."),
        ("I'm pregnant.", "I gave birth yesterday, so I'm no longer pregnant."),
        ("I have epilepsy.", "I no longer have epilepsy."),
        ("I'm allergic to walnuts.", "That was wrong, I'm not allergic to walnuts."),
        ("I'm afraid of dogs.", "I'm not afraid of dogs any more."),
        ("I'm terrified of flying.", "I got over my fear of flying."),
        ("I take warfarin.", "I no longer take warfarin."),
        ("I'm vegan.", "I'm not vegan any more."),
        ("I'm lactose intolerant.", "I'm no longer lactose intolerant."),
        ("Ich bin schwanger.", "Ich bin nicht mehr schwanger."),
        ("Ich habe eine schwere Nussallergie.", "Ich habe keine Nussallergie mehr."),
        ("Estoy embarazada.", "Ya no estoy embarazada."),
        ("Je suis enceinte.", "Je ne suis plus enceinte."),
        ("Estou grávida.", "Já não estou grávida."),
        ("Sono incinta.", "Non sono più incinta."),
        ("我对花生过敏。", "我不再对花生过敏了。"),
        ("私は卵アレルギーです。", "もう卵アレルギーではありません。"),
    ],
)
def test_each_kind_of_danger_can_be_denied_in_its_own_words(stated: str, denial: str) -> None:
    ledger = constraint_stated_in(stated)
    assert len(denied(ledger, denial)) == 1


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ("I'm afraid of dogs.", "I'm not allergic to dogs."),
        ("I'm allergic to dogs.", "I'm not afraid of dogs."),
        ("My sister is allergic to nuts.", "I'm not allergic to nuts."),
        ("I'm allergic to peanuts and walnuts.", "My allergy is gone."),
        ("I'm allergic to egg whites.", "I'm not allergic to milk."),
        ("I'm allergic to peanuts.", "I'm not allergic to peanuts, no wait. I'm allergic to peanuts."),
    ],
)
def test_what_speaks_of_something_else_denies_nothing(stated: str, words: str) -> None:
    assert denied(constraint_stated_in(stated), words) == []


def descriptions() -> list[Any]:
    file = tomllib.loads((HERE / "self_descriptions.toml").read_text(encoding="utf-8"))
    return [
        (language, kind, text.strip())
        for language, kinds in file.items()
        for kind, texts in kinds.items()
        for text in texts.replace("\n", " | ").split(" | ")
        if text.strip()
    ]


@pytest.mark.parametrize("language", sorted({language for language, _, _ in descriptions()}))
def test_plain_self_descriptions_are_found_and_of_the_right_kind(language: str) -> None:
    """What the lexicon does not know, and what it takes for another kind, is listed by name."""
    described = [(kind, text) for code, kind, text in descriptions() if code == language]
    kinds = {text: {constraint["kind"] for constraint in own(f"{text}.")} for _, text in described}
    missed = [text for _, text in described if not kinds[text]]
    of_another_kind = [text for kind, text in described if kinds[text] and kind != "any" and kind not in kinds[text]]
    assert len(missed) <= 0.03 * len(described), missed
    assert len(of_another_kind) <= 0.05 * len(described), of_another_kind
