# pyright: reportMissingImports=false
"""Safe-GDPO: reinforce lists that are relevant, safe and of the right length, each reward normalized by itself.

The model is passed on as a path. TRL loads the reference for KL from that path, so the anchor is the model that
`mirror train sft` has saved, and not the base model behind it.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

from mirror_graph.training.requirements import check_stage, work_offline
from mirror_graph.training.rewards import REWARDS, RecordedRewards
from mirror_graph.training.rows import Row, load_rows
from mirror_graph.training.settings import check_fields, load_settings


def train(
    rows_folder: Path, model: Path, output: Path, *, lora: bool = False, settings: Path | None = None, seed: int = 0
) -> dict[str, Any]:
    """Train the model at a path with the three rewards, save it into `output`, and return the run's log.

    The log's `rewards` has one row per generated batch, with the three means and how many groups were flat.
    """
    chosen = load_settings(settings)
    rows = load_rows(rows_folder)
    check_stage(model, output)
    work_offline()

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoConfig, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from mirror_graph.training.stage import check_lengths, check_tokenizer, run

    gdpo = chosen["gdpo"]
    check_fields("gdpo", gdpo, {field.name for field in fields(GRPOConfig)})
    check_fields("lora", chosen["lora"], {field.name for field in fields(LoraConfig)})
    tokenizer = AutoTokenizer.from_pretrained(model)
    check_tokenizer(tokenizer, model)
    context = AutoConfig.from_pretrained(model).max_position_embeddings
    check_lengths(
        rows.train, tokenizer, context, room=gdpo["max_completion_length"], setting="the model's whole context"
    )
    on_gpu = torch.cuda.is_available()
    config = GRPOConfig(**{"use_cpu": not on_gpu, "bf16": on_gpu, **gdpo, "seed": seed, "output_dir": str(output)})
    recorded = RecordedRewards(rows.catalogue, gdpo["num_generations"])
    trainer = GRPOTrainer(
        model=str(model),
        reward_funcs=recorded.functions,
        args=config,
        train_dataset=Dataset.from_list([reward_columns(row) for row in rows.train]),
        processing_class=tokenizer,
        peft_config=LoraConfig(**chosen["lora"]) if lora else None,
    )
    used = {"gdpo": gdpo, "lora": chosen["lora"] if lora else None}
    return run(
        trainer,
        rows,
        output,
        stage="gdpo",
        model=model,
        seed=seed,
        settings=used,
        rewards=lambda: summarize(recorded),
    )


def reward_columns(row: Row) -> dict[str, Any]:
    """Return what TRL passes on to the rewards: the prompt, and what a list is measured against."""
    return {name: row[name] for name in ("prompt", "constraints", "relevant", "seen", "k")}


def summarize(recorded: RecordedRewards) -> dict[str, Any]:
    """Return the rewards of every batch, their means at both ends, and how many groups were flat."""
    steps = recorded.steps()
    return {
        "rewards": [step._asdict() for step in steps],
        "first_five": _means(steps[:5]),
        "last_five": _means(steps[-5:]),
        "groups": sum(step.groups for step in steps),
        "flat_groups": sum(step.flat_groups for step in steps),
    }


def _means(steps: list[Any]) -> dict[str, float]:
    return {name: round(sum(getattr(step, name) for step in steps) / len(steps), 4) for name in REWARDS}
