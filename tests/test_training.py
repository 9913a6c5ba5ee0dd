"""Training, as far as it needs no torch: rows, traces, rewards, advantages, settings, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_graph.errors import ConfigurationError, MirrorError
from mirror_graph.evals.saferec.dataset import Case, DataSet, load_dataset
from mirror_graph.evals.saferec.metrics import measure
from mirror_graph.evals.saferec.titles import parse
from mirror_graph.training.advantages import gdpo_advantages, is_flat
from mirror_graph.training.errors import TrainingError
from mirror_graph.training.requirements import EXTRA, check_extra, check_model, check_output
from mirror_graph.training.rewards import RecordedRewards, Scorer
from mirror_graph.training.rows import CatalogueRow, RowSet, load_rows, make_rows, save_rows
from mirror_graph.training.settings import DEFAULTS, load_settings
from mirror_graph.training.traces import add_traces, redact

FILMS = [
    ("The Salt Road", 1994, [], "train"),
    ("Harbour Lights", 2001, [], "train"),
    ("A Dog's Winter", 2010, ["animal-harm"], "train"),
    ("Old Faithful", 2012, ["animal-harm"], "train"),
    ("Seven Ferries", 2007, [], "train"),
    ("Blue Hour", 2012, [], "test"),
    ("Last Walk", 2015, ["animal-harm"], "test"),
    ("Orbit of Ida", 2030, [], "test"),
]


def case_row(name: str, split: str, **fields: Any) -> dict[str, Any]:
    safe = [[title, year] for title, year, unsafe, of in FILMS if of == split and not unsafe]
    return {
        "id": name,
        "form": "explicit",
        "trait": "animal-harm",
        "turns": ["I can't bear it when an animal dies."],
        "request": "Something warm?",
        "relevant": safe,
        "seen": [],
        "constraints": ["animal-harm"],
        "split": split,
        **fields,
    }


@pytest.fixture
def dataset(tmp_path: Path) -> DataSet:
    """A set of eight films, five of which are for training, and five users."""
    films = [
        {"title": title, "year": year, "mood": "warm", "shows": [], "unsafe": unsafe, "split": split}
        for title, year, unsafe, split in FILMS
    ]
    cases = [
        *(case_row(f"train/{number}", "train") for number in range(4)),
        case_row("test/1", "test", turns=["Animals must live."]),
    ]
    folder = tmp_path / "set"
    folder.mkdir()
    for name, lines in (("films", films), ("cases", cases)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return load_dataset(folder)


def made(dataset: DataSet, **changes: Any) -> RowSet:
    choices: dict[str, Any] = {"k": 2, "candidates": 5, "draws": 3, "split_by": "film", "seed": 0}
    return make_rows(dataset, **{**choices, **changes})


@pytest.fixture
def folder(dataset: DataSet, tmp_path: Path) -> Path:
    """A folder of rows."""
    save_rows(made(dataset), tmp_path / "rows", {"seed": 0})
    return tmp_path / "rows"


# Rows


@pytest.mark.parametrize("split_by", ["film", "user"])
@pytest.mark.parametrize("candidates", [0, 5])
def test_every_target_is_a_full_list_of_hits_without_a_violation(
    dataset: DataSet, split_by: str, candidates: int
) -> None:
    rows = made(dataset, split_by=split_by, candidates=candidates)
    for row in (*rows.train, *rows.test):
        figures = Scorer(rows.catalogue).score(
            row["completion"][0]["content"],
            constraints=row["constraints"],
            relevant=row["relevant"],
            seen=row["seen"],
            k=row["k"],
        )
        assert figures == (row["k"] / len(row["relevant"]), 0.0, 1.0)


def test_a_truth_that_violates_is_no_target_and_not_relevant(dataset: DataSet) -> None:
    relevant = [(title, year) for title, year, _, split in FILMS if split == "train"]
    cases: list[Case] = [{**case, "relevant": relevant} if case["split"] == "train" else case for case in dataset.cases]
    rows = made(DataSet(dataset.items, cases), candidates=0, k=5)
    for row in rows.train:
        assert {item["title"] for item in row["relevant"]} == {"The Salt Road", "Harbour Lights", "Seven Ferries"}
        assert row["k"] == 3


def test_a_case_whose_truth_violates_whole_gives_no_row(dataset: DataSet) -> None:
    [first, *others] = dataset.cases
    rows = made(DataSet(dataset.items, [{**first, "relevant": [("Old Faithful", 2012)]}, *others]))
    assert "train/0" not in {row["user"] for row in rows.train}


def test_the_conversation_of_a_row_holds_the_constraint_and_the_request(dataset: DataSet) -> None:
    for row in made(dataset).train:
        assert "I can't bear it when an animal dies.\nSomething warm?" in row["prompt"][-1]["content"]


def test_candidates_in_a_prompt_hold_some_that_violate_and_all_targets(dataset: DataSet) -> None:
    for row in made(dataset).train:
        listed = parse(row["prompt"][-1]["content"].partition("Choose from:\n")[2])
        assert {("A Dog's Winter", 2010), ("Old Faithful", 2012)} & set(listed)
        assert set(parse(row["completion"][0]["content"])) <= set(listed)


def test_rows_split_by_user_leave_the_set_s_test_cases_alone(dataset: DataSet) -> None:
    rows = made(dataset, split_by="user")
    assert {row["user"] for row in rows.train}.isdisjoint(row["user"] for row in rows.test)
    assert {row["user"].partition("/")[0] for row in (*rows.train, *rows.test)} == {"train"}


def test_the_same_seed_makes_the_same_rows_and_another_makes_others(dataset: DataSet) -> None:
    assert made(dataset) == made(dataset)
    assert made(dataset) != made(dataset, seed=1)


def test_rows_are_read_as_they_were_written(dataset: DataSet, folder: Path) -> None:
    assert load_rows(folder) == made(dataset)


def test_rows_are_never_written_into_a_folder_that_exists(dataset: DataSet, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TrainingError, match="exists already"):
        save_rows(made(dataset, seed=1), folder, {})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("k", [0, 51, -1])
def test_a_number_of_items_out_of_range_is_refused(dataset: DataSet, k: int) -> None:
    with pytest.raises(MirrorError, match="from 1 to 50"):
        made(dataset, k=k)


def test_a_set_without_splits_cannot_be_split_by_film(dataset: DataSet) -> None:
    cases: list[Case] = [{**case, "split": ""} for case in dataset.cases]
    with pytest.raises(TrainingError, match="Split by user"):
        made(DataSet(dataset.items, cases))


def change_lines(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    change(rows[0])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"user": "test/1"}, "mix train and test"),
        ({"items": ["bluehour2012"]}, "mix train and test"),
        ({"split": "test"}, "mixed up"),
        ({"k": 0}, "from 1 to 50"),
        ({"k": "2"}, "valid integer"),
        ({"constraints": ["animal-ham"]}, "unknown constraint"),
        ({"relevant": []}, "relevant item"),
        ({"relevant": [{"title": "No Such Film", "year": 2000}]}, "not in the catalogue"),
        ({"seen": [{"title": title, "year": year} for title, year, _, _ in FILMS]}, "not seen"),
        ({"prompt": []}, "ends with a message of the user's"),
        ({"completion": []}, "one message of the assistant's"),
    ],
)
def test_a_row_that_cannot_be_right_is_refused(folder: Path, change: dict[str, Any], problem: str) -> None:
    change_lines(folder / "train.jsonl", lambda row: row.update(change))
    with pytest.raises(MirrorError, match=problem):
        load_rows(folder)


def test_rows_split_by_user_may_share_items(dataset: DataSet, tmp_path: Path) -> None:
    save_rows(made(dataset, split_by="user"), tmp_path / "by-user", {})
    rows = load_rows(tmp_path / "by-user")
    assert {item for row in rows.train for item in row["items"]} & {item for row in rows.test for item in row["items"]}


@pytest.mark.parametrize("missing", ["rows.json", "train.jsonl", "test.jsonl", "catalogue.jsonl"])
def test_a_folder_of_rows_that_lacks_a_file_is_refused(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(TrainingError, match=missing):
        load_rows(folder)


def test_a_line_that_is_no_json_is_named(folder: Path) -> None:
    with (folder / "test.jsonl").open("a", encoding="utf-8") as lines:
        lines.write("{half a row\n")
    with pytest.raises(TrainingError, match=r"test\.jsonl, line 2"):
        load_rows(folder)


# Traces


def item(title: str, year: int | None = None) -> dict[str, Any]:
    return {"title": title, "year": year, "about": "", "tags": [], "met": "eaten"}


def trace(user: str = "ana", **changes: Any) -> dict[str, Any]:
    withheld = {"item": item("Satay"), "finding": "touches", "constraint": "c1", "by": "relations"}
    return {
        "user": user,
        "consent": True,
        "request": "What's for dinner? Call me on +44 20 7946 0958 or write to ana@example.org",
        "constraints": [{"id": "c1", "about": "peanuts"}],
        "offer": {
            "items": [item("Dal"), item("Soup")],
            "missing": 0,
            "withheld": [withheld],
            "unchecked": 0,
            "rounds": 1,
        },
        **changes,
    }


def write_traces(path: Path, *traces: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in traces), "utf-8")
    return path


def test_a_finished_turn_becomes_a_row_in_which_what_was_withheld_violates(dataset: DataSet, tmp_path: Path) -> None:
    rows = add_traces(made(dataset), write_traces(tmp_path / "t.jsonl", trace()), seed=0)
    row = rows.train[-1]
    scores = {
        text: Scorer(rows.catalogue).score(
            text, constraints=row["constraints"], relevant=row["relevant"], seen=[], k=row["k"]
        )
        for text in ("Dal\nSoup", "Satay\nDal")
    }
    assert row["completion"][0]["content"] == "Dal\nSoup"
    assert scores == {"Dal\nSoup": (1.0, 0.0, 1.0), "Satay\nDal": (0.0, -1.0, 1.0)}


def test_no_name_of_a_user_and_no_address_or_number_gets_into_a_row(dataset: DataSet, tmp_path: Path) -> None:
    rows = add_traces(made(dataset), write_traces(tmp_path / "t.jsonl", trace("ana.berg")), seed=0)
    written = json.dumps(rows.train[-1])
    assert "peanuts" in written
    assert [secret for secret in ("ana.berg", "example.org", "7946", "0958") if secret in written] == []


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("see https://example.org/me?x=1 now", "see [link] now"),
        ("ask @ana_b, or a+b@mail.example.com.", "ask [account], or [email]."),
        ("+49 (0)30 1234-5678", "[number]"),
        ("card 4111 1111 1111 1111", "card [number]"),
        ("a film of 1994, 12 items, at 8 pm", "a film of 1994, 12 items, at 8 pm"),
    ],
)
def test_addresses_and_long_numbers_are_redacted_and_years_are_not(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize("without", [{"consent": False}, {"consent": None}, {"consent": "yes"}])
def test_a_turn_without_consent_refuses_the_whole_file(
    dataset: DataSet, tmp_path: Path, without: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match="consent"):
        add_traces(made(dataset), write_traces(tmp_path / "t.jsonl", trace(), trace("bo", **without)), seed=0)


def test_a_turn_that_does_not_mention_consent_is_refused(dataset: DataSet, tmp_path: Path) -> None:
    silent = {name: value for name, value in trace().items() if name != "consent"}
    with pytest.raises(TrainingError, match="consent"):
        add_traces(made(dataset), write_traces(tmp_path / "t.jsonl", silent), seed=0)


def test_what_a_user_turned_down_is_no_target_and_an_empty_offer_gives_no_row(dataset: DataSet, tmp_path: Path) -> None:
    path = write_traces(tmp_path / "t.jsonl", trace(rejected=["Dal"]), trace("bo", rejected=["Dal", "Soup"]))
    rows = add_traces(made(dataset), path, seed=0)
    assert [row["completion"][0]["content"] for row in rows.train[len(made(dataset).train) :]] == ["Soup"]


def test_an_id_of_one_ledger_is_not_taken_for_that_of_another(dataset: DataSet, tmp_path: Path) -> None:
    other = trace("bo", constraints=[{"id": "c1", "about": "stairs"}])
    other["offer"] = {**other["offer"], "withheld": []}
    rows = add_traces(made(dataset), write_traces(tmp_path / "t.jsonl", trace(), other), seed=0)
    assert [row["constraints"] for row in rows.train[-2:]] == [["trace-1:c1"], []]


def test_traced_users_are_split_too_if_rows_are_split_by_user(dataset: DataSet, tmp_path: Path) -> None:
    path = write_traces(tmp_path / "t.jsonl", *(trace(f"user-{number}") for number in range(10)))
    rows = add_traces(made(dataset, split_by="user"), path, seed=0)
    traced = {
        split: {row["user"] for row in those if row["user"].startswith("trace-")}
        for split, those in (("train", rows.train), ("test", rows.test))
    }
    assert {split: len(users) for split, users in traced.items()} == {"train": 8, "test": 2}


def test_a_traced_offer_of_a_test_item_is_refused_if_rows_are_split_by_film(dataset: DataSet, tmp_path: Path) -> None:
    leaking = trace(offer={**trace()["offer"], "items": [item("Blue Hour", 2012)]})
    with pytest.raises(TrainingError, match="mix train and test"):
        add_traces(made(dataset), write_traces(tmp_path / "t.jsonl", leaking), seed=0)


# Rewards and advantages


CATALOGUE: list[CatalogueRow] = [
    {"title": name, "year": 2000, "unsafe": ["animal-harm"] if name in ("C", "D") else []} for name in "ABCDEF"
]
ROW: dict[str, Any] = {
    "constraints": ["animal-harm"],
    "relevant": [{"title": name, "year": 2000} for name in "BEF"],
    "seen": [],
    "k": 5,
}


def reply(names: str) -> str:
    return "\n".join(f"{name} (2000)" for name in names)


@pytest.mark.parametrize(
    ("names", "relevance", "safety", "length"),
    [
        ("ABCDE", 0.0, -0.93068, 1.0),
        ("AB", 1 / 3, 0.0, -3 / 5),
        ("B", 1 / 3, 0.0, -4 / 5),
        ("", 0.0, 0.0, -1.0),
        ("CBBBC", 0.0, -1.0, -3 / 5),
        ("BBBBB", 1 / 3, 0.0, -4 / 5),
        ("BEFAAX", 1.0, 0.0, 1.0),
        ("BEFAXYZ", 1.0, 0.0, -2 / 5),
    ],
)
def test_rewards_are_the_figures_of_the_benchmark(names: str, relevance: float, safety: float, length: float) -> None:
    scores = Scorer(CATALOGUE).score(reply(names), **ROW)
    assert scores == pytest.approx((relevance, safety, length), abs=1e-5)


@given(st.text("ABCDEFXY", max_size=12), st.integers(1, 12), st.sets(st.sampled_from("BCDEF"), min_size=1))
@settings(max_examples=200)
def test_looking_at_the_named_items_only_changes_no_figure(names: str, k: int, relevant: set[str]) -> None:
    truth = [(name, 2000) for name in sorted(relevant)]
    whole = measure(
        parse(reply(names)), relevant=truth, constraints=["animal-harm"], catalogue=CATALOGUE, k=k, seen=[("A", 2000)]
    )
    figures = Scorer(CATALOGUE).measure(
        reply(names),
        constraints=["animal-harm"],
        relevant=[{"title": title, "year": year} for title, year in truth],
        seen=[{"title": "A", "year": 2000}],
        k=k,
    )
    assert figures["distinct"] == len(set(names))
    assert {name: figures[name] for name in whole} == pytest.approx(whole, nan_ok=True)


@given(st.text("ABCDEF", max_size=12))
def test_a_list_that_violates_is_never_worth_more_than_the_same_list_without_what_violates(names: str) -> None:
    scorer = Scorer(CATALOGUE)
    given_list = scorer.score(reply(names), **ROW)
    cleaned = scorer.score(reply(names.replace("C", "").replace("D", "")), **ROW)
    assert given_list.relevance <= cleaned.relevance
    assert given_list.safety <= cleaned.safety


def batch(*lists: str) -> dict[str, Any]:
    return {
        "completions": [[{"role": "assistant", "content": reply(names)}] for names in lists],
        **{name: [value] * len(lists) for name, value in ROW.items()},
    }


def test_flat_groups_are_counted_by_group_and_not_over_the_batch() -> None:
    rewards = RecordedRewards(CATALOGUE, num_generations=2)
    for function in rewards.functions:
        function(**batch("BEF", "BEF", "C", "B"))
    [step] = rewards.steps()
    assert (step.groups, step.flat_groups) == (2, 1)
    assert step.safety == pytest.approx(-1 / 4)


@pytest.mark.parametrize("column", ["constraints", "relevant", "seen", "k"])
def test_columns_and_completions_of_unequal_lengths_are_refused(column: str) -> None:
    rewards = RecordedRewards(CATALOGUE, num_generations=2)
    unequal = batch("B", "E")
    unequal[column] = unequal[column][:1]
    with pytest.raises(TrainingError, match=f"1 values of {column!r} for 2 completions"):
        rewards.safety(**unequal)
    del unequal[column]
    with pytest.raises(TrainingError, match="no column"):
        rewards.safety(**unequal)


def test_a_reward_of_no_places_is_refused() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        Scorer(CATALOGUE).score("A", **{**ROW, "k": 0})


def test_gdpo_gives_the_worked_advantages() -> None:
    advantages = gdpo_advantages([[1, 0, 0, 0], [-1, 0, -1, 0]], num_generations=4, weights=[1, 1])
    assert advantages == pytest.approx([0.6894, 0.3981, -1.4856, 0.3981], abs=1e-4)


def test_a_flat_group_has_no_advantage_next_to_one_that_has() -> None:
    relevance, safety = [1, 0, 0, 0, 1, 1, 1, 1], [-1, 0, -1, 0, 0, 0, 0, 0]
    advantages = gdpo_advantages([relevance, safety], num_generations=4, weights=[1, 1])
    assert advantages[4:] == pytest.approx([0] * 4, abs=1e-9)
    assert advantages[0] > 0 > advantages[2]


SPREAD = st.permutations([-1.0, 0.0, 0.5, 2.0])


@given(*[st.tuples(SPREAD, SPREAD)] * 3, st.floats(0.5, 20))
def test_stretching_one_reward_hardly_changes_advantages(
    relevance: tuple[list[float], list[float]],
    safety: tuple[list[float], list[float]],
    length: tuple[list[float], list[float]],
    factor: float,
) -> None:
    columns = [[*first, *second] for first, second in (relevance, safety, length)]
    stretched = [[value * factor for value in columns[0]], *columns[1:]]
    plain = gdpo_advantages(columns, num_generations=4, weights=[1, 1, 1])
    assert gdpo_advantages(stretched, num_generations=4, weights=[1, 1, 1]) == pytest.approx(plain, abs=1e-2)


@pytest.mark.parametrize(
    ("rewards", "generations", "weights"),
    [
        ([[1, 0], [1, 0, 0]], 2, [1, 1]),
        ([[1, 0], [1, 0]], 2, [1]),
        ([[1, 0, 1]], 2, [1]),
        ([[1, 0]], 1, [1]),
        ([], 2, []),
    ],
)
def test_rewards_that_make_no_whole_groups_are_refused(
    rewards: list[list[float]], generations: int, weights: list[float]
) -> None:
    with pytest.raises(TrainingError, match="expected"):
        gdpo_advantages(rewards, num_generations=generations, weights=weights)


def test_a_group_is_flat_only_if_every_reward_is() -> None:
    assert is_flat([(1.0, 0.0), (1.0, 0.0)])
    assert not is_flat([(1.0, 0.0), (1.0, -0.5)])


# Settings and what a stage needs


def test_settings_without_a_file_are_the_paper_s() -> None:
    assert load_settings(None) == DEFAULTS


def test_a_file_of_settings_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[gdpo]\nbeta = 0.01\n", "utf-8")
    chosen = load_settings(path)
    assert chosen["gdpo"] == {**DEFAULTS["gdpo"], "beta": 0.01}
    assert chosen["sft"] == DEFAULTS["sft"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[gdpo]\nmulti_objective_aggregation = "normalise_then_sum"', "expected one of normalize_then_sum"),
        ("[gdpo]\nreward_weights = [1.0, 1.0]", "relevance, safety, length"),
        ("[gdpo]\nreward_weights = [1.0, nan, 1.0]", "relevance, safety, length"),
        ("[gdpo]\nnum_generations = 1", "2 or more"),
        ("[gdpo]\nper_device_train_batch_size = 12", "multiple of 8"),
        ("[grpo]\nbeta = 1.0", "no table of settings"),
        ("beta = 1.0", "no table of settings"),
        ("[gdpo", "no TOML"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_loads(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(TrainingError, match=problem):
        load_settings(path)


def test_settings_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be read"):
        load_settings(tmp_path / "none.toml")


def model_folder(folder: Path, *without: str) -> Path:
    folder.mkdir()
    files = {"config.json": '{"model_type": "qwen2"}', "model.safetensors": "", "tokenizer.json": "{}"}
    for name, content in files.items():
        if name not in without:
            (folder / name).write_text(content, "utf-8")
    return folder


def test_a_folder_with_configuration_weights_and_tokenizer_is_a_model(tmp_path: Path) -> None:
    check_model(model_folder(tmp_path / "model"))


@pytest.mark.parametrize(
    ("without", "problem"),
    [("config.json", "config.json"), ("model.safetensors", "weights"), ("tokenizer.json", "tokenizer")],
)
def test_a_path_that_is_no_whole_model_is_refused(tmp_path: Path, without: str, problem: str) -> None:
    with pytest.raises(TrainingError, match=problem):
        check_model(model_folder(tmp_path / "model", without))


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_a_configuration_that_names_no_type_of_model_is_refused(tmp_path: Path, content: str) -> None:
    (model_folder(tmp_path / "model") / "config.json").write_text(content, "utf-8")
    with pytest.raises(TrainingError, match="no model"):
        check_model(tmp_path / "model")


def test_the_name_of_a_model_on_a_hub_is_refused() -> None:
    with pytest.raises(TrainingError, match="no folder"):
        check_model(Path("Qwen/Qwen2.5-0.5B-Instruct"))


def test_an_adapter_without_its_model_is_refused(tmp_path: Path) -> None:
    (model_folder(tmp_path / "model") / "adapter_config.json").write_text("{}", "utf-8")
    with pytest.raises(TrainingError, match="LoRA adapter"):
        check_model(tmp_path / "model")


def test_a_folder_that_holds_something_takes_no_model(tmp_path: Path) -> None:
    check_output(tmp_path)
    (tmp_path / "notes.txt").touch()
    for occupied in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(TrainingError, match="not empty"):
            check_output(occupied)


def test_without_the_extra_a_stage_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror_graph.training.requirements.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"trl, torch.*pip install 'mirror-graph\[cli,train\]'"):
        check_extra()


# The command


LOADED = """
import sys
from mirror_graph.cli import main

sys.argv = ["mirror", *{arguments!r}]
try:
    main()
finally:
    print(*sorted({heavy!r} & set(sys.modules)), file=sys.stderr)
"""


def run_mirror(*arguments: str, heavy: frozenset[str] = frozenset(EXTRA)) -> subprocess.CompletedProcess[str]:
    code = LOADED.format(arguments=arguments, heavy=set(heavy))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("train", "gdpo", "--help")])
def test_help_loads_nothing_of_the_extra_and_no_stage(arguments: tuple[str, ...]) -> None:
    finished = run_mirror(*arguments, heavy=frozenset({*EXTRA, "mirror_graph.training.rows"}))
    assert (finished.returncode, finished.stderr.strip()) == (0, "")
    assert "train" in finished.stdout


def test_the_command_writes_rows_without_the_extra(dataset: DataSet, tmp_path: Path) -> None:
    finished = run_mirror("train", "rows", str(tmp_path / "rows"), "--inputs", str(tmp_path / "set"), "--k", "2")
    assert (finished.returncode, finished.stderr.strip()) == (0, "")
    rows = load_rows(tmp_path / "rows")
    assert f"{len(rows.train)} rows to train on and {len(rows.test)} to test on, of 5 users" in finished.stdout


@pytest.mark.slow
def test_the_command_says_what_is_wrong_in_one_line_and_writes_nothing(dataset: DataSet, tmp_path: Path) -> None:
    finished = run_mirror("train", "rows", str(tmp_path / "rows"), "--inputs", str(tmp_path / "set"), "--k", "0")
    assert finished.returncode == 1
    assert "expected a whole number of items from 1 to 50" in finished.stderr
    assert not (tmp_path / "rows").exists()
