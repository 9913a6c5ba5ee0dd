"""How a Markdown file becomes a prompt, and how other people's words are quoted in it."""

import json
import re
from importlib.resources import files
from string import Template

TEMPLATES = {
    entry.name.removesuffix(".md"): Template(entry.read_text(encoding="utf-8").strip())
    for entry in files("mirror_graph.prompts").iterdir()
    if entry.name.endswith(".md")
}

TAG = "mirror-"
_AROUND = "</>`*\"' \t\r\n"
_ECHO = re.compile(rf"\A[{_AROUND}]*(?:{TAG}[0-9a-f]{{8}}[{_AROUND}:]*)+", re.IGNORECASE)


def render(name: str, /, **fields: str) -> str:
    """Return the text of the template `name` with `fields` filled in.

    Raises `KeyError` for an unknown template and `ValueError` for a missing or an extra field.
    """
    template = TEMPLATES[name]
    expected = set(template.get_identifiers())
    if expected != fields.keys():
        raise ValueError(f"prompt {name!r} takes {sorted(expected)}, got {sorted(fields)}")
    return template.substitute(fields).strip()


def fenced(mark: str, content: str) -> str:
    """Fence `content` in a tag that ends in `mark`, so that only text that contains the mark can close it."""
    return f"<{TAG}{mark}>\n{content}\n</{TAG}{mark}>"


def strip_leading_tags(text: str) -> str:
    """Return a reply without the tags of ours that a small model likes to begin it with.

    One that is nothing but tags stays as it is: it may be what was asked for.
    """
    return _ECHO.sub("", text, count=1) or text


def is_all_tags(text: str) -> bool:
    """Say whether a reply is nothing but tags of ours."""
    return _ECHO.fullmatch(text) is not None


def may_be_echo(beginning: str) -> bool:
    """Say whether a reply that begins so may still turn out to begin with one more tag of ours."""
    word = _ECHO.sub("", beginning, count=1).lstrip(_AROUND).lower()
    return TAG.startswith(word[: len(TAG)]) and len(word) < len(TAG) + 8


def escape_brackets(text: str) -> str:
    """Return `text` with look-alikes for angle brackets: it reads the same and can form no tag."""
    return text.replace("<", "\u2039").replace(">", "\u203a")


def one_line(text: str) -> str:
    """Return `text` as one line without angle brackets: it can form no tag and no heading of ours."""
    return " ".join(escape_brackets(text).split())


def quoted(text: str) -> str:
    """Return `text` as one JSON string without angle brackets: no line of it can pass for one of ours."""
    return json.dumps(escape_brackets(text), ensure_ascii=False)
