"""How a voice's Markdown becomes a prompt, and how other people's words are carried in it."""

import json
from importlib.resources import files
from string import Template

VOICES = {
    entry.name.removesuffix(".md"): Template(entry.read_text(encoding="utf-8").strip())
    for entry in files("mirror_graph.prompts").iterdir()
    if entry.name.endswith(".md")
}


def render(voice: str, **fields: str) -> str:
    """Return the text of `voice` with `fields` filled in.

    Raises `KeyError` for an unknown voice and `ValueError` for a missing or an extra field.
    """
    template = VOICES[voice]
    expected = set(template.get_identifiers())
    if expected != fields.keys():
        raise ValueError(f"prompt {voice!r} takes {sorted(expected)}, got {sorted(fields)}")
    return template.substitute(fields).strip()


def block(mark: str, content: str) -> str:
    """Fence `content` in a tag that ends in `mark`, so that nobody who does not know the mark can close it."""
    return f"<mirror-{mark}>\n{content}\n</mirror-{mark}>"


def unmarked(text: str) -> str:
    """Return `text` with look-alikes for angle brackets: it reads the same and can form no tag."""
    return text.replace("<", "\u2039").replace(">", "\u203a")


def one_line(text: str) -> str:
    """Return `text` as one line without angle brackets: it can form no tag and no heading of ours."""
    return " ".join(unmarked(text).split())


def quoted(text: str) -> str:
    """Return `text` as one JSON string without angle brackets: no line of it can pass for one of ours."""
    return json.dumps(unmarked(text), ensure_ascii=False)
