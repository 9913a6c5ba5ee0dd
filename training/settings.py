"""The settings of each stage: those of the SafeCRS paper unless a TOML file says otherwise.

The file has a table per stage, `[sft]`, `[lora]` and `[gdpo]`. Their keys are the fields of TRL's `SFTConfig` and
`GRPOConfig` and of peft's `LoraConfig`.
"""

import math
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from mirror_graph.training.errors import TrainingError
from mirror_graph.training.rewards import REWARDS

Table = Literal["sft", "lora", "gdpo"]

AGGREGATIONS = ("normalize_then_sum", "sum_then_normalize")
"""How TRL can combine several rewards: as GDPO does, or as GRPO. TRL refuses another name at its first step only."""

LOCAL_REPORTS = ("none", "tensorboard")
"""Where TRL may log to. Rows may hold what users wrote, so no stage sends anything anywhere."""

DEFAULTS: Mapping[Table, Mapping[str, Any]] = {
    "sft": {
        "learning_rate": 5e-5,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.05,
        "num_train_epochs": 10,
        "max_length": 1024,
        "per_device_train_batch_size": 8,
        "logging_steps": 10,
        "save_strategy": "no",
        "report_to": "none",
    },
    "lora": {"r": 16, "lora_alpha": 32, "task_type": "CAUSAL_LM", "target_modules": "all-linear"},
    "gdpo": {
        "multi_objective_aggregation": AGGREGATIONS[0],
        "reward_weights": [1.0, 1.0, 1.0],
        "num_generations": 8,
        "beta": 1e-3,
        "learning_rate": 1e-6,
        "num_train_epochs": 2,
        "max_completion_length": 1024,
        "per_device_train_batch_size": 8,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
    },
}


def load_settings(path: Path | None) -> dict[Table, dict[str, Any]]:
    """Return the settings of every stage, with those of a file in place of the defaults."""
    settings = {table: dict(values) for table, values in DEFAULTS.items()}
    if path is not None:
        for table, values in _read(path).items():
            if table not in settings or not isinstance(values, dict):
                raise TrainingError(f"{path}: {table!r} is no table of settings: expected {', '.join(DEFAULTS)}")
            settings[table].update(values)
    check_gdpo(settings["gdpo"])
    return settings


def check_gdpo(settings: Mapping[str, Any]) -> None:
    """Raise `TrainingError` for settings of GDPO that TRL would refuse late, or not at all."""
    aggregation = settings["multi_objective_aggregation"]
    if aggregation not in AGGREGATIONS:
        raise TrainingError(
            f"multi_objective_aggregation is {aggregation!r}: expected one of {', '.join(AGGREGATIONS)}"
        )
    weights = settings["reward_weights"]
    if not isinstance(weights, list) or len(weights) != len(REWARDS) or not all(map(_is_finite, weights)):
        raise TrainingError(f"reward_weights is {weights!r}: expected a number each for {', '.join(REWARDS)}")
    generations, batch = settings["num_generations"], settings["per_device_train_batch_size"]
    for name, value in (("num_generations", generations), ("per_device_train_batch_size", batch)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 2:
            raise TrainingError(f"{name} is {value!r}: expected a whole number of 2 or more")
    # TRL lets a group be spread over processes; then none of them could count flat groups.
    if batch % generations:
        raise TrainingError(f"per_device_train_batch_size is {batch}: expected a multiple of {generations} generations")


def check_fields(table: Table, settings: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise `TrainingError` for a setting that the library does not have, or that would send rows away."""
    for name, value in settings.items():
        if name not in known:
            raise TrainingError(
                f"unknown setting {name!r} in [{table}]: expected a field of the library's own settings"
            )
        if "hub" in name or (name == "report_to" and value not in LOCAL_REPORTS):
            raise TrainingError(
                f"{name} = {value!r} in [{table}]: rows never leave this machine, expected no such setting"
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be read: {error.strerror}. Expected a TOML file, as docs/training.md describes it"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: no TOML ({error})") from error


def _is_finite(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
