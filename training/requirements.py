"""What a stage needs before anything heavy is loaded: the extra, a model on this machine, and a new folder."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

from mirror_graph.errors import ConfigurationError
from mirror_graph.training.errors import TrainingError

EXTRA = ("trl", "torch", "transformers", "peft", "datasets", "accelerate")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def check_stage(model: Path, output: Path) -> None:
    """Raise unless a stage can run from this model into this folder."""
    check_extra()
    check_model(model)
    check_output(output)


def check_extra() -> None:
    """Raise `ConfigurationError` unless the extra `train` is installed."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"training needs {', '.join(missing)}: pip install 'mirror-graph[cli,train]'")


def check_model(path: Path) -> None:
    """Raise `TrainingError` unless a folder holds a whole model: its configuration, weights and tokenizer.

    A name on a hub is refused. KL is measured against the model at this path, so it must be the one that is trained on.
    """
    if not path.is_dir():
        raise TrainingError(
            f"{path} is no folder: expected the path of a model, downloaded or saved by `mirror train sft`"
        )
    if (path / "adapter_config.json").is_file():
        raise TrainingError(f"{path} holds a LoRA adapter: expected a whole model, with the adapter merged into it")
    try:
        configuration = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TrainingError(f"{path} is no model: expected a config.json that can be read") from error
    if not isinstance(configuration, dict) or "model_type" not in configuration:
        raise TrainingError(f"{path} is no model: expected a model_type in its config.json")
    if not any(next(path.glob(pattern), None) for pattern in WEIGHTS):
        raise TrainingError(f"{path} is no whole model: expected weights in {' or '.join(WEIGHTS)}")
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        raise TrainingError(f"{path} is no whole model: expected a tokenizer with it")


def check_output(path: Path) -> None:
    """Raise `TrainingError` if a folder holds something already, which a run would mix with its own files."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise TrainingError(f"{path} is not empty: expected a new folder for the model and its log")


def work_offline() -> None:
    """Keep the libraries from asking a hub: call it before they are imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
