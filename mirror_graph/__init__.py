"""MIRROR on LangGraph: a chat model that keeps thinking between turns, so that it can keep its users safe."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any


def _modules_of_public_names() -> dict[str, str]:
    """Read `__init__.pyi`, the one list of public names: the module that each is imported from."""
    stub = ast.parse(Path(__file__).with_name("__init__.pyi").read_text(encoding="utf-8"))
    imports = [statement for statement in stub.body if isinstance(statement, ast.ImportFrom)]
    return {alias.name: str(statement.module) for statement in imports for alias in statement.names}


_MODULE_OF = _modules_of_public_names()
__all__ = list(_MODULE_OF)  # pyright: ignore[reportUnsupportedDunderAll]  # it reads them in the stub


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used.

    Loading LangGraph takes seconds, and `mirror --help` needs none of it.
    """
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
