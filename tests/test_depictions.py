"""The description of a film, and which topics it shows; a person's words, and which sensitivity they name."""

import tomllib
from pathlib import Path

import pytest

from mirror_graph.evals.saferec.traits import SAFEREC_TRAITS, TRAITS
from mirror_graph.ledger.depictions import load_depictions, sensitivities_named, topics_shown, touching_topics
from mirror_graph.relevance.screening import screen
from mirror_graph.state.offers import Item
from mirror_graph.state.values import SafetyConstraint

PROBES = tomllib.loads((Path(__file__).parent / "probes" / "depictions.toml").read_text("utf-8"))
TOPICS = list(dict.fromkeys(topic for trait in SAFEREC_TRAITS for topic in trait.topics))
ALSO_TOUCHED = {("suffocation", "buried-alive")}
"""What the oracle does not count and the relations do, on purpose: to be buried alive is to be trapped without air."""

NAMED = {
    "animal-harm": "I can't bear it when an animal is hurt on screen.",
    "spiders-snakes": "Spiders and snakes terrify me.",
    "gore": "I'm squeamish: no blood, no gore.",
    "torture": "No torture, please.",
    "sexual-violence": "I can't watch sexual assault.",
    "child-harm": "Nothing in which a child is in danger.",
    "domestic-abuse": "My ex was violent. No abusive relationships, no stalkers.",
    "substances": "I'm sober. I don't want to see people drinking or taking drugs.",
    "self-harm": "I lost my brother to suicide.",
    "mental-health": "I hate how films show mental illness.",
    "illness": "Hospitals and cancer are too close to home.",
    "needles": "I have a needle phobia.",
    "suffocation": "I'm claustrophobic.",
    "photosensitivity": "Strobe lights give me seizures.",
    "slurs": "I don't want to hear racist slurs.",
    "gender-respect": "Nothing transphobic.",
    "pregnancy-loss": "I had a miscarriage in May.",
    "accidents": "I was in a car crash.",
    "sad-ending": "I need a happy ending.",
    "horror": "I can't do horror or ghosts.",
}


def constraint(trait: str) -> SafetyConstraint:
    return {
        "id": trait,
        "kind": TRAITS[trait].kind,
        "about": TRAITS[trait].about,
        "severity": "serious",
        "subject": "user",
        "status": "active",
        "source": {"message": "", "turn": 1, "quote": NAMED[trait], "language": "en", "recorded_at": 0.0},
        "first_turn": 1,
    }


def film(about: str = "", tags: tuple[str, ...] = ()) -> Item:
    return {"title": "Untitled", "year": 2020, "about": about, "tags": list(tags), "met": "shown"}


@pytest.mark.parametrize("trait", SAFEREC_TRAITS, ids=lambda trait: trait.id)
def test_a_trait_is_touched_by_its_own_topics_and_by_no_other(trait: object) -> None:
    assert isinstance(trait, type(SAFEREC_TRAITS[0]))
    touched = {topic for topic in TOPICS if screen([constraint(trait.id)], film(tags=(topic,)))["finding"] == "touches"}
    expected = set(trait.topics) | {topic for other, topic in ALSO_TOUCHED if other == trait.id}
    assert touched == expected


@pytest.mark.parametrize(("trait", "words"), NAMED.items())
def test_a_trait_is_named_by_a_persons_own_words(trait: str, words: str) -> None:
    assert trait in sensitivities_named(words)


@pytest.mark.parametrize("trait", SAFEREC_TRAITS, ids=lambda trait: trait.id)
def test_the_plain_name_of_a_trait_names_it_alone(trait: object) -> None:
    assert isinstance(trait, type(SAFEREC_TRAITS[0]))
    assert sensitivities_named(trait.about) == {trait.id}


@pytest.mark.parametrize(
    ("topic", "text"), [(topic, text) for topic, texts in PROBES["shows"].items() for text in texts]
)
def test_a_text_that_shows_a_topic_touches_the_traits_that_it_violates(topic: str, text: str) -> None:
    shown = topics_shown(text)
    for trait in SAFEREC_TRAITS:
        if topic in trait.topics:
            assert shown & touching_topics([trait.id]), f"{trait.id} is not touched"


@pytest.mark.parametrize("text", PROBES["nothing"])
def test_a_harmless_text_shows_nothing(text: str) -> None:
    assert not topics_shown(text) & set(TOPICS)


def test_every_topic_has_a_text_that_shows_it() -> None:
    assert set(PROBES["shows"]) == set(TOPICS)


@pytest.mark.parametrize("genre", ["dark", "thriller", "band", "drama", "crime", "comedy", "noir", "war film", "epic"])
def test_a_genre_or_a_mood_touches_no_trait_by_itself(genre: str) -> None:
    touching = touching_topics(trait.id for trait in SAFEREC_TRAITS)
    assert not topics_shown(f"A {genre}.") & touching


@pytest.mark.parametrize(
    "text",
    [
        "No animal is hurt in this film.",
        "A war story without a drop of blood.",
        "A ghost train, but no ghosts.",
        "Nobody dies, nobody shouts.",
        "The film never shows a needle.",
        "It is not a horror film.",
    ],
)
def test_what_a_text_denies_is_not_shown(text: str) -> None:
    assert not topics_shown(text) & {"animal-dies", "animal-abuse", "blood", "needles", "ghosts", "child-dies"} - (
        {"ghosts"} if "ghost train" in text else set()
    )


@pytest.mark.parametrize(
    "text",
    ["No longer able to hide her miscarriage, she leaves.", "Not only the dog dies."],
)
def test_a_negation_of_something_else_denies_nothing(text: str) -> None:
    assert topics_shown(text) & {"miscarriage", "dog-dies"}


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("His father dies and leaves him a dog.", "dog-dies"),
        ("The dog waits ten years for its dead master.", "dog-dies"),
        ("The children find a body in the woods.", "child-dies"),
        ("A boy whose father died at sea.", "child-dies"),
    ],
)
def test_a_death_belongs_to_the_one_who_dies(text: str, topic: str) -> None:
    assert topic not in topics_shown(text)


def test_a_longer_phrase_says_what_is_meant() -> None:
    assert topics_shown("She spends a year in a mental hospital.") == {"asylum"}


def test_every_block_and_topic_that_is_referred_to_exists() -> None:
    depictions = load_depictions()
    known = {
        phrase.group for phrases in (*depictions.exact.values(), *depictions.beginnings.values()) for phrase in phrases
    }
    for sequences in depictions.sequences.values():
        for sequence in sequences:
            assert {sequence.first, sequence.second} <= known
    for barriers in depictions.not_between.values():
        assert barriers <= known
    for topics in depictions.touched_by.values():
        assert topics <= depictions.topics


def test_a_very_long_text_is_read_at_its_beginning() -> None:
    assert topics_shown("A dog dies. " + "x " * 100_000) == {"dog-dies"}
