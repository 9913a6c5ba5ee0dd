# pyright: reportMissingImports=false
"""Safe-SFT: train on lists from which everything that violates was removed."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from mirror_graph.training.requirements import check_stage, work_offline
from mirror_graph.training.rows import load_rows
from mirror_graph.training.settings import check_fields, load_settings


def train(
    rows_folder: Path, model: Path, output: Path, *, lora: bool = False, settings: Path | None = None, seed: int = 0
) -> dict[str, Any]:
    """Train the model at a path on the training rows, save it into `output`, and return the run's log.

    With `lora` an adapter is trained, and merged into the model that is saved.
    """
    chosen = load_settings(settings)
    rows = load_rows(rows_folder)
    check_stage(model, output)
    work_offline()

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from mirror_graph.training.stage import check_lengths, check_tokenizer, run

    check_fields("sft", chosen["sft"], {field.name for field in fields(SFTConfig)})
    check_fields("lora", chosen["lora"], {field.name for field in fields(LoraConfig)})
    tokenizer = AutoTokenizer.from_pretrained(model)
    check_tokenizer(tokenizer, model)
    check_lengths(rows.train, tokenizer, chosen["sft"]["max_length"], room=0, setting="max_length")
    on_gpu = torch.cuda.is_available()
    config = SFTConfig(
        **{"use_cpu": not on_gpu, "bf16": on_gpu, **chosen["sft"], "seed": seed, "output_dir": str(output)}
    )
    trainer = SFTTrainer(
        model=str(model),
        args=config,
        train_dataset=Dataset.from_list(
            [{"prompt": row["prompt"], "completion": row["completion"]} for row in rows.train]
        ),
        processing_class=tokenizer,
        peft_config=LoraConfig(**chosen["lora"]) if lora else None,
    )
    used = {"sft": chosen["sft"], "lora": chosen["lora"] if lora else None}
    return run(trainer, rows, output, stage="sft", model=model, seed=seed, settings=used)
