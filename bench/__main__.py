"""`python -m bench NAME`: run one benchmark and print what it found.

The endpoint is one that starts for the run and answers after a fixed delay, or the one that OPENAI_BASE_URL names.
"""

import sys
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from mirror_graph.errors import MirrorError
from mirror_graph.evals.report import publish

NAMES = (
    "overhead",
    "overlap",
    "simulated_user",
    "load",
    "large_message",
    "storage",
    "tokens",
    "agent_overhead",
    "screening",
    "encryption",
    "serving",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark that the arguments name and return the exit code."""
    parser = ArgumentParser("python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    modules = {name: import_module(f"bench.{name}") for name in NAMES}
    for name, module in modules.items():
        command = commands.add_parser(
            name, help=module.__doc__, description=f"{module.__doc__} bench/{name}.py describes each size."
        )
        command.add_argument("--json", type=Path, help="write the figures to this file too")
        for size in fields(module.Sizes):
            option, kind = f"--{size.name.replace('_', '-')}", type(size.default)
            typed = {"type": str if size.default is None else kind}
            how: dict[str, Any] = {"action": BooleanOptionalAction} if kind is bool else typed
            command.add_argument(option, default=size.default, help="default: %(default)s", **how)
    choices = vars(parser.parse_args(arguments))
    name, out = choices.pop("name"), choices.pop("json")
    sizes = modules[name].Sizes(**choices)
    try:
        publish(name, asdict(sizes), lambda: modules[name].measure(sizes), out)
    except MirrorError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
