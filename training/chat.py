# pyright: reportMissingImports=false
"""A trained model as a chat model, so that every arm of SafeRec can be run with it."""

from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from mirror_graph.models.scripted import register_script
from mirror_graph.training.requirements import check_extra, check_model

MOST_NEW_TOKENS = 512
ROLES = {"human": "user", "ai": "assistant", "system": "system"}


def register_trained(path: Path) -> str:
    """Load a model from its folder and return the name under which it answers, without sampling.

    Raises `ConfigurationError` without the extra `train`, and `TrainingError` for a folder that holds no whole model.
    """
    check_extra()
    check_model(path)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
    model.eval()
    name = f"trained-{path.resolve().name}"
    register_script(name, lambda messages: _answer(model, tokenizer, messages))
    return f"scripted:{name}"


def _answer(model: Any, tokenizer: Any, messages: list[BaseMessage]) -> str:
    import torch

    chat = [{"role": ROLES[message.type], "content": message.text} for message in messages]
    encoded = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    with torch.inference_mode():
        written = model.generate(
            **encoded.to(model.device),
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=MOST_NEW_TOKENS,
            pad_token_id=tokenizer.pad_token_id,
        )
    return str(tokenizer.decode(written[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True))
