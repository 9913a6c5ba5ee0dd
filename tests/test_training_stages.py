# pyright: reportMissingImports=false
"""Training with TRL, on a tiny model made on the spot. `make test-train` runs these: they need the extra `train`.

What needs torch is imported within the tests, so that this file can be collected without it.
"""

import gc
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from mirror_graph.errors import MirrorError
from mirror_graph.training import demo, gdpo, sft
from mirror_graph.training.advantages import gdpo_advantages
from mirror_graph.training.errors import TrainingError
from mirror_graph.training.rows import RowSet, load_rows, save_rows
from mirror_graph.training.settings import AGGREGATIONS, DEFAULTS

ROOT = Path(__file__).parents[1]
QUICK = """
[sft]
learning_rate = 5e-3
max_steps = 3
per_device_train_batch_size = 4
logging_strategy = "no"
disable_tqdm = true
gradient_checkpointing = false

[lora]
r = 4
lora_alpha = 8

[gdpo]
learning_rate = {rate}
max_steps = 2
per_device_train_batch_size = 8
num_generations = 4
max_completion_length = 16
logging_strategy = "no"
disable_tqdm = true
gradient_checkpointing = false
"""

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(300),
    # TRL 1.16 uses a name that transformers 5.23 renamed.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def made() -> RowSet:
    """Rows of the demo that respect constraints."""
    return demo.make_demo_rows(0)[1]


@pytest.fixture(scope="module")
def base(made: RowSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows, settings and a random tiny model."""
    folder = tmp_path_factory.mktemp("base")
    save_rows(made, folder / "rows", {})
    demo.make_tiny_model(made, folder / "model", seed=0)
    (folder / "quick.toml").write_text(QUICK.format(rate="1e-3"), "utf-8")
    return folder


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


# The contract with TRL


@pytest.mark.parametrize("groups", [1, 3])
def test_trl_computes_the_advantages_that_are_documented(made: RowSet, base: Path, tmp_path: Path, groups: int) -> None:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    # The worked values first, then groups that differ in one reward, and a flat one.
    relevance = [1.0, 0.0, 0.0, 0.0, 0.2, 0.2, 0.7, 0.1, 0.5, 0.5, 0.5, 0.5][: 4 * groups]
    safety = [-1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.3, -0.3, -0.3, -0.3][: 4 * groups]

    def first(completions: list[Any], **_: Any) -> list[float]:
        return relevance

    def second(completions: list[Any], **_: Any) -> list[float]:
        return safety

    trainer = GRPOTrainer(
        model=str(base / "model"),
        reward_funcs=[first, second],
        args=GRPOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            max_steps=1,
            num_generations=4,
            per_device_train_batch_size=4 * groups,
            max_completion_length=4,
            multi_objective_aggregation="normalize_then_sum",
            reward_weights=[1.0, 2.0],
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in made.train]),
    )
    trainer.train()
    ours = gdpo_advantages([relevance, safety], num_generations=4, weights=[1.0, 2.0])
    assert list(trainer._logs["advantages"]) == pytest.approx(ours, abs=1e-5)


def test_trl_with_equal_weights_gives_the_worked_advantages_of_both_aggregations(
    made: RowSet, base: Path, tmp_path: Path
) -> None:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    worked = {
        "normalize_then_sum": [0.6894, 0.3981, -1.4856, 0.3981],
        "sum_then_normalize": [0.4999, 0.4999, -1.4997, 0.4999],
    }
    assert set(worked) == set(AGGREGATIONS)
    for aggregation, advantages in worked.items():
        trainer = GRPOTrainer(
            model=str(base / "model"),
            reward_funcs=[lambda completions, **_: [1.0, 0, 0, 0], lambda completions, **_: [-1.0, 0, -1, 0]],
            args=GRPOConfig(
                output_dir=str(tmp_path),
                use_cpu=True,
                bf16=False,
                max_steps=1,
                num_generations=4,
                per_device_train_batch_size=4,
                max_completion_length=4,
                multi_objective_aggregation=aggregation,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in made.train]),
        )
        trainer.train()
        assert list(trainer._logs["advantages"]) == pytest.approx(advantages, abs=1e-4)


def test_the_default_settings_are_fields_of_the_libraries() -> None:
    from peft import LoraConfig
    from trl import GRPOConfig, SFTConfig

    for table, configuration in (("sft", SFTConfig), ("lora", LoraConfig), ("gdpo", GRPOConfig)):
        known = {field.name for field in fields(configuration)}
        assert set(DEFAULTS[table]) - known == set()  # type: ignore[index]


def test_the_settings_in_the_docs_are_fields_of_the_libraries() -> None:
    from peft import LoraConfig
    from trl import GRPOConfig, SFTConfig

    configurations = {"sft": SFTConfig, "lora": LoraConfig, "gdpo": GRPOConfig}
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/training.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        for table, values in tomllib.loads(block).items():
            assert set(values) - {field.name for field in fields(configurations[table])} == set()


# The stages


@pytest.fixture(scope="module")
def tuned(base: Path) -> Path:
    """The folder of a model that Safe-SFT saved."""
    sft.train(base / "rows", base / "model", base / "sft", settings=base / "quick.toml")
    return base / "sft"


def test_a_run_logs_versions_seed_settings_and_the_benchmark_before_and_after(tuned: Path) -> None:
    log = json.loads((tuned / "run.json").read_text("utf-8"))
    assert log["versions"].keys() >= {"python", "mirror-graph", "trl", "torch", "transformers"}
    assert (log["seed"], log["steps"], log["settings"]["sft"]["max_steps"]) == (0, 3, 3)
    assert log["parameters"]["moved"] > 0
    for figures in log["benchmark"].values():
        assert figures["all"]["rows"] > figures["constrained"]["rows"] > 0
        assert figures["all"].keys() >= {"recall", "svr", "fill", "empty", "unknown"}


def test_gdpo_starts_from_the_saved_model_and_measures_kl_against_it(
    base: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from trl import GRPOTrainer

    anchors = []

    class Watched(GRPOTrainer):  # type: ignore[misc]
        def train(self, *arguments: Any, **options: Any) -> Any:
            anchors.append({name: value.clone() for name, value in self.ref_model.state_dict().items()})
            return super().train(*arguments, **options)

    monkeypatch.setattr("trl.GRPOTrainer", Watched)
    log = gdpo.train(base / "rows", tuned, tmp_path / "out", settings=base / "quick.toml")
    saved = weights(tuned)
    assert all(torch.equal(anchors[0][name], value) for name, value in saved.items())
    assert not all(torch.equal(value, weights(tmp_path / "out")[name]) for name, value in saved.items())
    assert len(log["rewards"]) == 2
    assert (log["groups"], log["flat_groups"] <= 4) == (4, True)
    assert set(log["first_five"]) == {"relevance", "safety", "length"}
    assert log["benchmark"].keys() == {"before", "after"}


@pytest.mark.parametrize("stage", ["sft", "gdpo"])
def test_an_adapter_is_merged_so_that_what_is_saved_is_a_whole_model(
    base: Path, tuned: Path, tmp_path: Path, stage: str
) -> None:
    import torch

    train = {"sft": sft.train, "gdpo": gdpo.train}[stage]
    log = train(base / "rows", tuned, tmp_path / "out", lora=True, settings=base / "quick.toml")
    before, after = weights(tuned), weights(tmp_path / "out")
    assert log["parameters"]["moved"] > 0
    assert before.keys() == after.keys()
    assert not all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_run_in_which_nothing_moves_fails_and_saves_no_model(base: Path, tuned: Path, tmp_path: Path) -> None:
    still = tmp_path / "still.toml"
    still.write_text(QUICK.format(rate="0.0"), "utf-8")
    with pytest.raises(TrainingError, match="parameters moved"):
        gdpo.train(base / "rows", tuned, tmp_path / "out", settings=still)
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("[gdpo]\nwarmup_ratio = 0.1", "unknown setting 'warmup_ratio'"),
        ("[gdpo]\npush_to_hub = true", "never leave this machine"),
        ('[gdpo]\nreport_to = "wandb"', "never leave this machine"),
        ("[lora]\nrank = 4", "unknown setting 'rank'"),
        ("[gdpo]\nmax_completion_length = 600", "the model's whole context"),
    ],
)
def test_settings_that_would_do_harm_are_refused(
    base: Path, tuned: Path, tmp_path: Path, setting: str, problem: str
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(setting, "utf-8")
    with pytest.raises(TrainingError, match=problem):
        gdpo.train(base / "rows", tuned, tmp_path / "out", settings=path)
    assert not (tmp_path / "out").exists()


def test_a_row_that_would_be_cut_is_refused(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[sft]\nmax_length = 20\n", "utf-8")
    with pytest.raises(TrainingError, match="expected at most 20, which is max_length"):
        sft.train(base / "rows", base / "model", tmp_path / "out", settings=path)


def test_a_tokenizer_without_a_chat_template_is_refused(base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base / "model")
    tokenizer.chat_template = None
    (tmp_path / "model").mkdir()
    for path in (base / "model").iterdir():
        if "template" not in path.name:
            (tmp_path / "model" / path.name).write_bytes(path.read_bytes())
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(TrainingError, match="no chat template"):
        sft.train(base / "rows", tmp_path / "model", tmp_path / "out")


def test_a_path_that_is_no_model_is_refused_before_torch_is_loaded(base: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom mirror_graph.training import gdpo\n"
        f"try:\n    gdpo.train(Path({str(base / 'rows')!r}), Path('no/model'), Path({str(tmp_path / 'out')!r}))\n"
        "except ValueError as error:\n    print(error, 'torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.startswith("no/model is no folder")
    assert finished.stdout.strip().endswith("False")


def test_rows_that_mix_train_and_test_are_refused_by_every_stage(base: Path, made: RowSet, tmp_path: Path) -> None:
    save_rows(made, tmp_path / "rows", {})
    with (tmp_path / "rows" / "train.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({**made.test[0], "split": "train"}) + "\n")
    for train in (sft.train, gdpo.train):
        with pytest.raises(MirrorError, match="mix train and test"):
            train(tmp_path / "rows", base / "model", tmp_path / "out")


# The demo


def test_the_demo_makes_lists_safer_within_a_gigabyte(tmp_path: Path) -> None:
    # A process of its own, so that its memory is its own.
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom mirror_graph.training.demo import demo\n"
        "figures = demo(Path(sys.argv[1]))\nprint('figures:', json.dumps(figures))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "demo")], capture_output=True, text=True, check=True
    )
    figures = json.loads(finished.stdout.partition("figures:")[2])
    assert figures["rise"] >= demo.EXPECTED_RISE
    assert figures["megabytes"] < 1_000
    assert all(figures[stage]["parameters"]["moved"] > 0 for stage in ("base", "sft", "gdpo"))
    assert load_rows(tmp_path / "demo" / "rows").split_by == "user"


# A trained model in the arms of SafeRec


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_arm_can_be_run_with_a_trained_model_by_its_path(base: Path) -> None:
    from mirror_graph.evals.saferec.dataset import OWN
    from mirror_graph.evals.saferec.scoring import run
    from mirror_graph.training.chat import register_trained

    name = register_trained(base / "model")
    report = run(OWN, ("told", "guard"), (5,), split="test", limit=1, model=name)

    arm = report["arms"]["told"]["all"]
    assert (arm["calls"], arm["failures"]) == (1, 0)
    assert report["model"] == name == "scripted:trained-model"
    gc.collect()  # here, where the filters above hold: Inspect leaves files to the garbage collector
