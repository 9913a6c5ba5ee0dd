"""Which items touch which constraints: by how they are met, by their description, and for whom."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_graph.relevance.exposure import can_touch
from mirror_graph.relevance.screening import screen
from mirror_graph.state.offers import Item, Met
from mirror_graph.state.values import Kind, SafetyConstraint, Status


def constraint(kind: Kind, about: str, **changes: Any) -> SafetyConstraint:
    made: SafetyConstraint = {
        "id": f"{kind}:{about}",
        "kind": kind,
        "about": about,
        "severity": "serious",
        "subject": "user",
        "status": "active",
        "source": {"message": "", "turn": 1, "quote": "", "language": "en", "recorded_at": 0.0},
        "first_turn": 1,
    }
    return {**made, **changes}  # type: ignore[typeddict-item]  # tests name real fields


def item(about: str, met: Met = "shown", title: str = "Untitled", tags: tuple[str, ...] = ()) -> Item:
    return {"title": title, "year": None, "about": about, "tags": list(tags), "met": met}


PEANUTS = constraint("allergy", "peanuts")
SPIDERS = constraint("phobia", "spiders")
DOGS_DYING = constraint("boundary", "animals dying")


@pytest.mark.parametrize(
    ("known", "offered", "finding"),
    [
        (PEANUTS, item("Three brothers run a peanut farm in Georgia."), "fits"),
        (PEANUTS, item("Noodles with roasted peanuts.", "eaten"), "touches"),
        (PEANUTS, item("Noodles with ginger, no peanuts.", "eaten"), "fits"),
        (PEANUTS, item("A peanut-free noodle salad.", "eaten"), "fits"),
        (SPIDERS, item("Giant spiders take over a town."), "touches"),
        (SPIDERS, item("A village builds its own railway."), "fits"),
        (DOGS_DYING, item("A girl's puppy is run over."), "touches"),
        (DOGS_DYING, item("A girl and her dog cross Canada by train."), "fits"),
        (constraint("physical", "bad knee"), item("A runner breaks a record."), "fits"),
        (constraint("medical", "epilepsy"), item("Strobe lights throughout."), "touches"),
        (constraint("medical", "diabetes"), item("A drama set in a hospital."), "fits"),
        (constraint("medical", "asthma"), item("Strobe lights throughout."), "fits"),
        (constraint("trauma", "war"), item("A platoon in the trenches of 1917."), "touches"),
        (constraint("phobia", "geese"), item("A girl raises a flock of geese."), "touches"),
        (constraint("phobia", "geese"), item("A village builds its own railway."), "unknown"),
    ],
)
def test_an_item_touches_a_constraint_in_the_ways_that_its_kind_can_be_met(
    known: SafetyConstraint, offered: Item, finding: str
) -> None:
    assert screen([known], offered)["finding"] == finding


def test_a_verdict_names_the_first_constraint_that_is_touched() -> None:
    verdict = screen([PEANUTS, SPIDERS, DOGS_DYING], item("Giant spiders. A puppy is run over."))
    assert (verdict["constraint"], verdict["by"]) == (SPIDERS["id"], "relations")


def test_a_tag_decides_if_the_text_does_not() -> None:
    verdict = screen([DOGS_DYING], item("A boy grows up on a farm.", tags=("dog-dies",)))
    assert (verdict["finding"], verdict["by"]) == ("touches", "tags")


def test_an_item_without_a_description_cannot_be_judged() -> None:
    assert screen([SPIDERS], item(""))["finding"] == "unknown"
    assert screen([PEANUTS], item(""))["finding"] == "fits"
    assert screen([], item(""))["finding"] == "fits"


def test_a_text_in_another_language_is_not_taken_to_be_harmless() -> None:
    german = "Ein alter Hirte begleitet im Winter seinen Hund, der am Ende stirbt, durch die Berge."
    assert screen([DOGS_DYING], item(german))["finding"] == "unknown"


def test_the_most_severe_constraint_that_is_undecided_is_named() -> None:
    mild = constraint("phobia", "geese", severity="preference")
    severe = constraint("phobia", "buttons", severity="life-threatening")
    assert screen([mild, severe], item("A village builds a railway."))["constraint"] == severe["id"]


def test_a_film_is_watched_by_the_user_and_a_dish_may_be_shared() -> None:
    assert screen([{**SPIDERS, "subject": "my sister"}], item("Giant spiders."))["finding"] == "fits"
    assert screen([{**PEANUTS, "subject": "my sister"}], item("Peanut soup.", "eaten"))["finding"] == "touches"


TEXTS = st.sampled_from(
    ["Giant spiders.", "A puppy is run over.", "Peanut soup.", "A railway.", "", "A ghost.", "Blood on the stairs."]
)
ITEMS = st.builds(item, TEXTS, st.sampled_from(get_args(Met)))
CONSTRAINTS = st.lists(
    st.builds(
        constraint, st.sampled_from(get_args(Kind)), st.sampled_from(["spiders", "animals dying", "peanuts", "blood"])
    ),
    max_size=4,
)


@given(CONSTRAINTS, ITEMS, st.sampled_from(["retracted", "superseded"]))
def test_retracting_every_constraint_brings_every_item_back(
    constraints: list[SafetyConstraint], offered: Item, status: Status
) -> None:
    gone: list[SafetyConstraint] = [{**known, "status": status} for known in constraints]
    assert screen(gone, offered)["finding"] == "fits"


@given(CONSTRAINTS, ITEMS)
def test_retracting_a_constraint_never_withholds_more(constraints: list[SafetyConstraint], offered: Item) -> None:
    if screen(constraints, offered)["finding"] != "touches":
        for place in range(len(constraints)):
            assert screen([*constraints[:place], *constraints[place + 1 :]], offered)["finding"] != "touches"


@given(CONSTRAINTS, ITEMS)
def test_only_what_can_be_met_is_touched(constraints: list[SafetyConstraint], offered: Item) -> None:
    verdict = screen(constraints, offered)
    if verdict["finding"] == "touches":
        touched = next(known for known in constraints if known["id"] == verdict["constraint"])
        assert can_touch(touched["kind"], offered["met"], triggered_by_sight=True)


@given(CONSTRAINTS, ITEMS)
def test_a_screening_changes_nothing_and_says_the_same_twice(
    constraints: list[SafetyConstraint], offered: Item
) -> None:
    before = repr((constraints, offered))
    assert screen(constraints, offered) == screen(constraints, offered)
    assert repr((constraints, offered)) == before
