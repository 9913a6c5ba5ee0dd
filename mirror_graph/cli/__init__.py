"""The command `mirror`."""

import logging
import sys
from importlib.util import find_spec

from mirror_graph.errors import MirrorError

NEEDED = ("typer", "rich", "platformdirs")


def main() -> None:
    """Run the command `mirror`.

    A `MirrorError`, and an error about a file, is printed as one line, with exit code 1.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(f"mirror needs {' and '.join(missing)}: pip install 'mirror-graph[cli]'", file=sys.stderr)
        sys.exit(2)
    from mirror_graph.cli.app import app
    from mirror_graph.cli.render import OneLine, print_error

    logging.getLogger("mirror_graph").addHandler(OneLine(logging.WARNING))
    # Its pool repeats every few seconds that a server is away; the error at the end says so once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    try:
        app()
    except MirrorError as error:
        print_error(error)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:  # no file that the user named: the traceback says more
            raise
        print_error(f"cannot use {error.filename!r}: {error.strerror}. Check the path and its permissions")
        sys.exit(1)
