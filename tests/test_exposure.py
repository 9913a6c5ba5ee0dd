"""Which ways of meeting something can touch which kinds of constraint."""

from typing import get_args

import pytest

from mirror_graph.relevance.exposure import EXPOSURES, can_touch
from mirror_graph.state.values import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)


@pytest.mark.parametrize("kind", ["allergy", "intolerance", "dietary", "medication"])
def test_what_is_only_shown_never_touches_what_must_enter_the_body(kind: Kind) -> None:
    assert not can_touch(kind, "shown")
    assert not can_touch(kind, "shown", triggered_by_sight=True)


@pytest.mark.parametrize("kind", ["phobia", "trauma", "addiction", "boundary"])
def test_what_is_only_shown_touches_what_is_in_the_mind(kind: Kind) -> None:
    assert can_touch(kind, "shown")


@pytest.mark.parametrize("kind", ["medical", "physical"])
def test_what_is_shown_touches_a_body_only_if_seeing_brings_it_on(kind: Kind) -> None:
    assert not can_touch(kind, "shown")
    assert can_touch(kind, "shown", triggered_by_sight=True)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_done_in_person_can_touch_every_kind(kind: Kind) -> None:
    assert can_touch(kind, "done")


@pytest.mark.parametrize("kind", ["phobia", "trauma"])
def test_a_medicine_is_not_met_like_a_fear_or_a_memory(kind: Kind) -> None:
    assert not can_touch(kind, "taken")


def test_sight_makes_no_difference_to_what_is_met_in_person() -> None:
    for kind in KINDS:
        for exposure in EXPOSURES:
            if exposure != "shown":
                assert can_touch(kind, exposure) == can_touch(kind, exposure, triggered_by_sight=True)
