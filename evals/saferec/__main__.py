"""`python -m mirror_graph.evals.saferec`: run the arms that need no model over a set, and write the report."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mirror_graph.errors import MirrorError
from mirror_graph.evals.saferec.arms import ARMS
from mirror_graph.evals.saferec.dataset import OWN
from mirror_graph.evals.saferec.scoring import run

SHOWN = ("caught_described", "caught_recorded", "lost", "undecided", "svr@5", "fill@5", "ndcg@10")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m mirror_graph.evals.saferec", description=__doc__)
    parser.add_argument("--inputs", type=Path, default=OWN, help="a folder with films.jsonl and cases.jsonl")
    parser.add_argument("--split", help="one split of the set only, such as test")
    parser.add_argument("--arm", action="append", choices=list(ARMS), help="may be given again (default: all)")
    parser.add_argument("--k", action="append", type=int, help="places of a list, may be given again (default: 5, 10)")
    parser.add_argument("--json", type=Path, help="where to write the report")
    choices = parser.parse_args(arguments)
    try:
        report = run(choices.inputs, choices.arm or tuple(ARMS), choices.k or (5, 10), split=choices.split)
    except MirrorError as error:
        print(error, file=sys.stderr)
        return 2
    if choices.json:
        choices.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join(_table(report)))
    return 0


def _table(report: dict[str, Any]) -> list[str]:
    shown = [name for name in SHOWN if all(name in one for forms in report["arms"].values() for one in forms.values())]
    lines = [f"{report['cases']} cases, {report['items']} items. {report['caveat']}"]
    lines.append("".join([f"{'arm':<17}{'form':<13}{'n':>4}", *(f"{name:>17}" for name in shown)]))
    for arm, forms in report["arms"].items():
        for form, figures in forms.items():
            values = ("-" if figures[name] is None else f"{figures[name]:.3f}" for name in shown)
            lines.append(
                "".join([f"{arm:<17}{form:<13}{figures['samples']:>4}", *(f"{value:>17}" for value in values)])
            )
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
