"""The command `schemathesis`, on the installed Hypothesis.

`langgraph-api` holds `jsonschema-rs` below the version that later releases of schemathesis need. This one generates
objects with `hypothesis-jsonschema` 0.23, which asks a collection for `more()`: Hypothesis 6.170 iterates instead.
"""

from typing import Any

from hypothesis.internal.conjecture.utils import many


def _more(elements: Any) -> bool:
    if not hasattr(elements, "_draws"):
        elements._draws = iter(elements.__enter__())
    return next(elements._draws, StopIteration) is not StopIteration


if not hasattr(many, "more"):
    many.more = _more  # type: ignore[attr-defined]

if __name__ == "__main__":
    from schemathesis.cli import schemathesis

    schemathesis()
