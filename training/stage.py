# pyright: reportMissingImports=false
"""What both stages share: a model is measured, trained, measured again, and saved with a log of the run."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mirror_graph.training.benchmark import benchmark
from mirror_graph.training.errors import TrainingError
from mirror_graph.training.requirements import EXTRA
from mirror_graph.training.rows import Row, RowSet

LOG_FILE = "run.json"


def run(
    trainer: Any,
    rows: RowSet,
    output: Path,
    *,
    stage: str,
    model: Path,
    seed: int,
    settings: Mapping[str, Any],
    rewards: Callable[[], dict[str, Any]] = dict,
) -> dict[str, Any]:
    """Train, save the model into `output` with `run.json`, and return that log.

    The log holds versions, seed, settings, what `rewards` returns after training, how many parameters moved, and the
    benchmark on the test split before and after. `TrainingError` if no parameter moved; then nothing is saved.
    """
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)  # it prints every figure of TRL's, for want of a progress bar
    started, clock = time.strftime("%Y-%m-%dT%H:%M:%S%z"), time.perf_counter()
    tokenizer = trainer.processing_class
    before = benchmark(trainer.model, tokenizer, rows)
    earlier = _fingerprints(trainer.model)
    trainer.train()
    later = _fingerprints(trainer.model)
    moved = sum(earlier[name] != digest for name, digest in later.items())
    if not moved:
        raise TrainingError(
            f"none of {len(later)} parameters moved in {trainer.state.global_step} steps: "
            "expected a higher learning rate, more steps, or rewards that differ within a group"
        )
    after = benchmark(trainer.model, tokenizer, rows)
    log = {
        "stage": stage,
        "started": started,
        "seconds": round(time.perf_counter() - clock, 1),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("mirror-graph", *EXTRA)}},
        "seed": seed,
        "model": str(model),
        "settings": settings,
        "rows": {"train": len(rows.train), "test": len(rows.test), "split_by": rows.split_by},
        "steps": trainer.state.global_step,
        "parameters": {"trained": len(later), "moved": moved},
        **rewards(),
        "benchmark": {"before": before, "after": after},
    }
    if trainer.accelerator.is_main_process:
        _save(trainer, tokenizer, output, log)
    return log


def check_tokenizer(tokenizer: Any, path: Path) -> None:
    """Raise `TrainingError` if a tokenizer cannot write chat rows."""
    if tokenizer.chat_template is None:
        raise TrainingError(f"the tokenizer in {path} has no chat template: expected that of a chat model")


def check_lengths(rows: Sequence[Row], tokenizer: Any, limit: int, *, room: int, setting: str) -> None:
    """Raise `TrainingError` if a row does not fit: TRL would cut it without a word.

    `room` is added to the tokens of each prompt; 0 means that the row's own completion is counted instead.
    """
    for row in rows:
        messages = row["prompt"] if room else [*row["prompt"], *row["completion"]]
        tokens = room + len(tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"])
        if tokens > limit:
            raise TrainingError(
                f"row {row['id']!r} takes {tokens} tokens: expected at most {limit}, which is {setting}"
            )


def _fingerprints(model: Any) -> dict[str, str]:
    """Return a digest of every parameter that is trained. A change too small for the number format is no change."""
    import torch

    return {
        name: hashlib.sha256(
            parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        ).hexdigest()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def _save(trainer: Any, tokenizer: Any, output: Path, log: Mapping[str, Any]) -> None:
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        # The next stage measures KL against the model at this path, so an adapter is merged into it.
        model = model.merge_and_unload()
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    (output / LOG_FILE).write_text(json.dumps(log, indent=2) + "\n", "utf-8")
