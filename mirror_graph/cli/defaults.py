"""What `mirror` uses where nothing is said: which model, which database."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import platformdirs

from mirror_graph.cli.render import console
from mirror_graph.errors import ModelFileError
from mirror_graph.models import chat_model
from mirror_graph.models.weights import DEFAULT_MODEL, find

KEY_MODEL = "openai:gpt-4o-mini"


class Choice(NamedTuple):
    """A model, and the sentence that says why it was chosen."""

    model: str
    why: str


def default_model() -> Choice:
    """Choose the model: the provider's with a key, else the local one where it was downloaded, else the script."""
    if os.environ.get("OPENAI_API_KEY"):
        place = os.environ.get("OPENAI_BASE_URL") or "OpenAI"
        return Choice(KEY_MODEL, f"OPENAI_API_KEY is set, so {KEY_MODEL} at {place} answers.")
    if find_spec("xllamacpp"):
        try:
            file = find(DEFAULT_MODEL).name
            return Choice(
                f"local:{DEFAULT_MODEL}",
                f"No OPENAI_API_KEY, so {file} answers, on this machine: on two cores it thinks for a minute or two "
                "after each turn. `--model scripted:demo` plays written lines, at once.",
            )
        except ModelFileError:
            pass
    return Choice(
        "scripted:demo",
        "No OPENAI_API_KEY and no downloaded model, so this plays scripted:demo: written lines, chosen by what stands "
        "in each prompt of the real graph. `mirror model pull` fetches a real model (1.1 GB).",
    )


def chosen_model(name: str | None) -> str:
    """Return the model `name`, or the default one and say why; an unusable one is an error before anything is said."""
    if name is None:
        name, why = default_model()
        console.print(why, style="dim")
    chat_model(name, temperature=0, max_tokens=1)
    return name


def default_database() -> str:
    """Return the file that keeps this user's threads."""
    return str(Path(platformdirs.user_data_path("mirror-graph")) / "mirror.db")
