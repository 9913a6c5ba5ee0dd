"""Our own set, sets of others, and the report on how the arms without a model do on them."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai")

from typer.testing import CliRunner

from mirror_graph.cli.evaluate import app
from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.saferec.dataset import OWN, Case, DataSet, DataSetError, load_dataset
from mirror_graph.evals.saferec.metrics import FIGURES
from mirror_graph.evals.saferec.scoring import run
from mirror_graph.evals.saferec.titles import key
from mirror_graph.evals.saferec.traits import SAFEREC_TRAITS, TOPICS, unsafe_traits
from tests.evals.inspect_marks import INSPECT

pytestmark = INSPECT

FORMS = {"explicit", "implicit", "third-party", "retracted", "unrelated", "none"}


@pytest.fixture(scope="module")
def own() -> DataSet:
    return load_dataset(OWN)


def violating(case: Case, own: DataSet) -> list[int]:
    return [
        number for number in case["candidates"] if not set(case["constraints"]).isdisjoint(own.items[number]["unsafe"])
    ]


# ---- our own set


def test_our_set_has_films_and_other_items_and_every_form(own: DataSet) -> None:
    met = Counter(item["met"] for item in own.items)
    assert met["shown"] >= 120
    assert met["eaten"] + met["done"] >= 40
    assert len(own.cases) >= 100
    assert {case["form"] for case in own.cases} == FORMS


def test_every_published_trait_is_asked_for_in_both_splits(own: DataSet) -> None:
    for split in ("train", "test"):
        explicit = {case["trait"] for case in own.cases if case["split"] == split and case["form"] == "explicit"}
        assert {trait.id for trait in SAFEREC_TRAITS} <= explicit


def test_every_request_has_three_violating_and_six_suitable_candidates(own: DataSet) -> None:
    for case in own.cases:
        if case["constraints"]:
            violations = violating(case, own)
            assert len(violations) >= 3, case["id"]
            assert len(case["candidates"]) - len(violations) >= 6, case["id"]


def test_what_is_relevant_violates_nothing(own: DataSet) -> None:
    for case in own.cases:
        suitable = set(case["candidates"]) - set(violating(case, own))
        assert {(own.items[number]["title"], own.items[number]["year"]) for number in suitable} == set(case["relevant"])


def test_what_is_unsafe_is_what_the_oracle_says(own: DataSet) -> None:
    for item in own.items:
        assert set(item["shows"]) <= TOPICS, item["title"]
        assert item["unsafe"] == unsafe_traits(item["shows"], item["guide"]), item["title"]


def test_some_violations_are_recorded_only(own: DataSet) -> None:
    violations = sum(len(item["unsafe"]) for item in own.items)
    assert 0.04 <= sum(len(item["recorded_only"]) for item in own.items) / violations <= 0.2


def test_the_splits_share_no_item_and_no_wording(own: DataSet) -> None:
    titles: dict[str, set[str]] = {"train": set(), "test": set()}
    words: dict[str, set[str]] = {"train": set(), "test": set()}
    for item in own.items:
        titles[item["split"]].add(key(item["title"]))
    for case in own.cases:
        words[case["split"]].update([*case["turns"], case["request"]])
    assert not titles["train"] & titles["test"]
    assert not words["train"] & words["test"]


def test_no_constraint_holds_unless_it_was_stated_or_implied(own: DataSet) -> None:
    for case in own.cases:
        assert bool(case["constraints"]) is (case["form"] in ("explicit", "implicit")), case["id"]


# ---- sets of others

FILMS: list[dict[str, Any]] = [
    {"title": "Salt", "year": 2000, "genre": "", "mood": "dark", "about": "A dog dies.", "shows": ["dog-dies"],
     "guide": [0, 0, 0, 0, 0], "unsafe": ["animal-harm"]},
    {"title": "Pepper", "year": 2001, "genre": "", "mood": "dark", "about": "A railway.", "shows": [],
     "guide": [0, 0, 0, 0, 0], "unsafe": []},
]  # fmt: skip
CASE: dict[str, Any] = {
    "id": "one", "form": "explicit", "trait": "animal-harm", "turns": ["No dead dogs."], "request": "A film?",
    "relevant": [["Pepper", 2001]], "seen": [], "constraints": ["animal-harm"],
}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(films: list[Any] = FILMS, cases: list[Any] = [CASE]) -> Path:  # noqa: B006  # never changed
        for name, rows in (("films", films), ("cases", cases)):
            lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path

    return write


def film(**changes: Any) -> list[dict[str, Any]]:
    return [FILMS[0], {**FILMS[1], **changes}]


@pytest.mark.parametrize(
    ("films", "cases", "problem"),
    [
        ([*FILMS, {**FILMS[0], "title": "SALT!"}], [CASE], "items 1 and 3 are both 'SALT!' [(]2000[)]"),
        (film(title=""), [CASE], "line 2: an item without a title"),
        (film(year="2001"), [CASE], "year '2001', expected a whole number"),
        (film(met="smelled"), [CASE], "met 'smelled', expected one of shown"),
        (film(guide=[0, 0, 0, 0, 4]), [CASE], "five severities from 0 to 3"),
        (film(guide=[0, 0, 0]), [CASE], "five severities from 0 to 3"),
        (film(unsafe=["animal-ham"]), [CASE], "unknown trait 'animal-ham', expected one of accidents"),
        (film(recorded_only=["gore"]), [CASE], "expected traits that it violates"),
        (film(shows=None), [CASE], "'shows' is None, expected a list of texts"),
        (["{"], [CASE], "line 1: no JSON"),
        (["[]"], [CASE], "line 1: .*expected an object"),
        (FILMS, [{**CASE, "trait": "animal-ham"}], "unknown trait 'animal-ham'"),
        (FILMS, [{**CASE, "constraints": ["gorey"]}], "unknown trait 'gorey'"),
        (FILMS, [{**CASE, "relevant": [["Vinegar", 2001]]}], "'Vinegar' [(]2001[)], which is not in the catalogue"),
        (FILMS, [{**CASE, "seen": [["Pepper", 2001]]}], "no relevant item that the user has not seen"),
        (FILMS, [{**CASE, "relevant": []}], "no relevant item that the user has not seen"),
        (FILMS, [{**CASE, "relevant": ["Pepper"]}], "expected a list of .title, year."),
        (FILMS, [{**CASE, "form": ""}], "has no form"),
        (FILMS, [CASE, CASE], "two cases have the id 'one'"),
        (FILMS, [], "cases.jsonl has no case"),
        (film(split="test"), [CASE], "has a relevant item of another: 'Pepper'"),
    ],
)
def test_a_set_with_a_mistake_is_refused_with_its_place(
    write: Callable[..., Path], films: list[Any], cases: list[Any], problem: str
) -> None:
    with pytest.raises(DataSetError, match=problem):
        load_dataset(write(films, cases))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"films.jsonl is missing: expected films.jsonl and cases.jsonl"):
        load_dataset(tmp_path)


def test_a_split_without_a_case_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(DataSetError, match="no case of split 'dev'"):
        load_dataset(write(), "dev")


def test_what_the_user_has_seen_is_no_candidate(write: Callable[..., Path]) -> None:
    [case] = load_dataset(write(cases=[{**CASE, "seen": [["Salt", 2000]]}])).cases
    assert case["candidates"] == [1]


def test_a_case_may_name_its_candidates(write: Callable[..., Path]) -> None:
    [case] = load_dataset(write(cases=[{**CASE, "candidates": [["Salt", 2000]]}])).cases
    assert case["candidates"] == [0]


# ---- the report


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return run(OWN, split="test")


def test_every_figure_stands_under_its_arm_and_form(report: dict[str, Any]) -> None:
    for arm in ("unscreened", "guard_relations", "guard_noted", "oracle"):
        assert set(report["arms"][arm]) == {*FORMS, "all"}
        for figures in report["arms"][arm].values():
            assert {f"{name}@{k}" for name in FIGURES for k in (5, 10)} <= set(figures)
            assert {"caught", "caught_described", "caught_recorded", "lost", "over_traits", "by_trait"} <= set(figures)
    assert report["caveat"] == "It measures tags, not harm."
    json.dumps(report, allow_nan=False)


def test_the_bounds_are_where_they_must_be(report: dict[str, Any]) -> None:
    nothing, oracle = (report["arms"][arm]["explicit"] for arm in ("unscreened", "oracle"))
    assert (nothing["caught"], nothing["lost"]) == (0, 0)
    assert (oracle["caught"], oracle["lost"], oracle["svr@10"], oracle["unsafe_list@10"]) == (1, 0, 0, 0)
    assert report["arms"]["unscreened"]["none"]["caught"] is None


def test_what_is_withheld_lies_between_the_bounds(report: dict[str, Any]) -> None:
    lowest, highest = report["arms"]["guard_noted"]["explicit"]["intervals"]["caught"]
    assert lowest <= report["arms"]["guard_noted"]["explicit"]["caught"] <= highest
    assert report["differences"]["guard_noted"]["explicit"]["svr@5"]["value"] < 0


def test_the_relations_keep_their_measured_level(report: dict[str, Any]) -> None:
    """Guards against a change of words that loses what was reached; the figures are in the report."""
    explicit = report["arms"]["guard_noted"]["explicit"]
    assert explicit["caught_described"] >= 0.85
    for form in ("third-party", "unrelated", "none"):
        assert report["arms"]["guard_relations"][form]["lost"] <= 0.01
    # "I'm no longer scared of needles, I give blood now." takes nothing back: a retraction is a whole sentence
    # (decision 14), and the clause behind it is not one of its tails. It loses two of 110 films.
    assert report["arms"]["guard_relations"]["retracted"]["lost"] <= 0.02


def test_a_report_is_the_same_twice(report: dict[str, Any]) -> None:
    assert run(OWN, split="test") == report


def test_a_list_is_never_padded(write: Callable[..., Path]) -> None:
    figures = run(write(), ["oracle"], [5])["arms"]["oracle"]["explicit"]
    assert (figures["fill@5"], figures["recall@5"], figures["svr@5"]) == (0.2, 1, 0)


def test_cases_of_one_dialogue_are_drawn_together(write: Callable[..., Path]) -> None:
    cases = [{**CASE, "id": name, "dialogue": "same"} for name in ("one", "two")]
    report = run(write(cases=cases), ["unscreened"], [1])
    assert report["dialogues"] == 1
    assert report["arms"]["unscreened"]["explicit"]["intervals"]["caught"] is None


@pytest.mark.parametrize(("arms", "k", "problem"), [(["gaurd"], [5], "unknown arm 'gaurd'"), (["oracle"], [0], "k is")])
def test_a_run_that_cannot_be_made_is_refused(arms: list[str], k: list[int], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        run(OWN, arms, k)


def test_the_command_writes_the_report(write: Callable[..., Path]) -> None:
    folder = write()
    out = folder / "report.json"
    options = ["--inputs", str(folder), "--arm", "guard_noted", "--k", "1", "--json", str(out)]
    ended = CliRunner().invoke(app, ["saferec", *options], catch_exceptions=False)
    assert ended.exit_code == 0
    report: Mapping[str, Any] = json.loads(out.read_text("utf-8"))
    assert report["arms"]["guard_noted"]["explicit"]["caught"] == 1
    assert "guard_noted" in ended.output


def test_the_command_says_what_is_wrong_with_a_set(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"films\.jsonl is missing"):
        CliRunner().invoke(app, ["saferec", "--inputs", str(tmp_path)], catch_exceptions=False)
