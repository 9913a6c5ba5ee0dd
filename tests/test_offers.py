"""What can be recommended, and what is refused with a clear error."""

from typing import Any, get_args

import pytest

from mirror_graph.relevance.exposure import EXPOSURES
from mirror_graph.state.offers import ABOUT_LIMIT, MOST_TAGS, InvalidItemError, Met, check_count, check_item

LANTERNS = {"title": "12 Lanterns", "year": 2012, "about": "A night market.", "tags": ["slow"], "met": "shown"}


def test_an_item_keeps_its_fields_and_loses_what_is_not_an_items() -> None:
    assert check_item({**LANTERNS, "price": 3}) == LANTERNS


def test_title_and_met_are_enough_for_an_item() -> None:
    assert check_item({"title": " Dal ", "met": "eaten"}) == {
        "title": "Dal", "year": None, "about": "", "tags": [], "met": "eaten",
    }  # fmt: skip


def test_an_item_is_bounded() -> None:
    item = check_item({**LANTERNS, "about": "x" * 9_999, "tags": ["y"] * 999, "why": "z" * 9_999})
    assert (len(item["about"]), len(item["tags"]), len(item.get("why", ""))) == (ABOUT_LIMIT, MOST_TAGS, ABOUT_LIMIT)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"title": ""}, "no title"),
        ({"title": "  "}, "no title"),
        ({"title": None}, "no title"),
        ({"title": 7}, "no title"),
        ({"met": "smelled"}, "met='smelled': expected one of shown, eaten, taken, done"),
        ({"met": None}, "met=None"),
        ({"year": "2012"}, "year='2012': expected a whole number"),
        ({"year": 2012.0}, "year=2012.0"),
        ({"year": True}, "year=True"),
        ({"about": ["x"]}, "expected text"),
        ({"tags": "slow"}, "expected a list of texts"),
        ({"tags": [1]}, "expected a list of texts"),
    ],
)
def test_a_wrong_item_is_refused_with_what_was_expected(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidItemError, match=problem.replace("[", r"\[")):
        check_item({**LANTERNS, **change})


@pytest.mark.parametrize("item", [None, "12 Lanterns", ["12 Lanterns", 2012]])
def test_what_is_no_mapping_is_no_item(item: object) -> None:
    with pytest.raises(InvalidItemError, match="expected a mapping"):
        check_item(item)


@pytest.mark.parametrize("k", [0, -1, 51, 2.0, "3", None, True])
def test_a_number_of_items_outside_1_to_50_is_refused(k: object) -> None:
    with pytest.raises(InvalidItemError, match="from 1 to 50"):
        check_count(k)


@pytest.mark.parametrize("k", [1, 50])
def test_1_and_50_items_may_be_asked_for(k: int) -> None:
    assert check_count(k) == k


def test_an_item_is_met_in_the_ways_that_the_exposure_table_knows() -> None:
    assert set(get_args(Met)) == set(EXPOSURES)
