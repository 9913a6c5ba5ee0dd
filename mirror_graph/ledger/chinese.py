"""The two scripts of Chinese, character by character: what is known in simplified characters is known in both."""

import re
import tomllib
from collections import defaultdict
from functools import cache
from importlib.resources import files
from typing import Any

_CLASS_OR_CHARACTER = re.compile(r"\[[^\]]*\]|[\u4e00-\u9fff]")


def simplified(text: str) -> str:
    """Return `text` in simplified characters, with as many characters as before."""
    return text if text.isascii() else text.translate(_simplified())


def in_both_scripts(value: Any) -> Any:
    """Return a pattern, or every pattern in lists and tables, that is written in simplified characters, for both."""
    if isinstance(value, dict):
        return {name: in_both_scripts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [*map(in_both_scripts, value)]
    return _CLASS_OR_CHARACTER.sub(_variants, value) if isinstance(value, str) else value


def _variants(part: re.Match[str]) -> str:
    """Return a class of characters, or one character, with what stands for it in the other script."""
    traditional = _traditional()
    also = "".join(traditional.get(character, "") for character in part[0])
    if part[0].startswith("["):
        return f"{part[0][:-1]}{also}]"
    return f"[{part[0]}{also}]" if also else part[0]


@cache
def _simplified() -> dict[int, int]:
    table = _table()
    return str.maketrans(table["traditional"], table["simplified"])


@cache
def _traditional() -> dict[str, str]:
    """Return the traditional characters that each simplified one stands for."""
    table = _table()
    found: defaultdict[str, str] = defaultdict(str)
    for traditional, simple in zip(table["traditional"], table["simplified"], strict=True):
        found[simple] += traditional
    return dict(found)


def _table() -> dict[str, str]:
    return tomllib.loads(files("mirror_graph.ledger").joinpath("scripts_of_chinese.toml").read_text("utf-8"))
