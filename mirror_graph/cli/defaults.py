"""The default model and database of `mirror`."""

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
    """A model, and a sentence that explains why it was chosen."""

    model: str
    why: str


def default_model() -> Choice:
    """Choose the provider's model if there is a key, else the local model if it is downloaded, else the script."""
    if os.environ.get("OPENAI_API_KEY"):
        place = os.environ.get("OPENAI_BASE_URL") or "OpenAI"
        return Choice(KEY_MODEL, f"OPENAI_API_KEY is set: using {KEY_MODEL} at {place}.")
    if find_spec("xllamacpp"):
        try:
            file = find(DEFAULT_MODEL).name
            return Choice(
                f"local:{DEFAULT_MODEL}",
                f"OPENAI_API_KEY is not set: using {file} on this machine. On two cores it thinks for a minute or two "
                "after each turn. `--model scripted:demo` plays a script at once.",
            )
        except ModelFileError:
            pass
    return Choice(
        "scripted:demo",
        "OPENAI_API_KEY is not set and no model is downloaded: playing scripted:demo. The graph is real; the replies "
        "are written lines, chosen by what each prompt contains. `mirror model pull` downloads a model (1.1 GB).",
    )


def chosen_model(name: str | None) -> str:
    """Return the model `name`, or print why the default was chosen and return it.

    The model is built once here, so that an unusable one is an error before the conversation starts.
    """
    if name is None:
        name, why = default_model()
        console.print(why, style="dim")
    chat_model(name, temperature=0, max_tokens=1)
    return name


def default_database() -> str:
    """Return the path of the current operating system user's database."""
    return str(Path(platformdirs.user_data_path("mirror-graph")) / "mirror.db")
