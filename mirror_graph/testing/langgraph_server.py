"""A LangGraph server, as `langgraph dev` runs it, for the length of a block."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from mirror_graph import graphs
from mirror_graph.errors import ConfigurationError

START_SECONDS = 120.0


@contextmanager
def langgraph_dev(
    config: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None, jobs: int | None = 10
) -> Iterator[str]:
    """Run `langgraph dev` and yield its URL.

    `config` is what its langgraph.json says, by default that it serves this package's graphs; `env` is added to the
    environment. `jobs` is how many runs it makes at once; None is its own default, one. It runs in a folder of its own,
    out of reach of a developer's `.env` and of the threads their server keeps.

    Raises `ConfigurationError` if it is not installed or does not start.
    """
    command = Path(sys.executable).with_name("langgraph")
    if not command.exists():
        raise ConfigurationError("a LangGraph server needs the extra: pip install 'mirror-graph[server]'")
    offline = {"LANGGRAPH_NO_VERSION_CHECK": "true", "LANGGRAPH_CLI_NO_ANALYTICS": "1", "NO_COLOR": "1"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    workers = [] if jobs is None else ["--n-jobs-per-worker", str(jobs)]
    with TemporaryDirectory() as place, (Path(place) / "log").open("w") as log:
        (Path(place) / "langgraph.json").write_text(json.dumps(config or _own_graphs()))
        server = subprocess.Popen(
            [command, "dev", "--no-browser", "--no-reload", *workers, "--port", str(port)],
            cwd=place,
            env={**os.environ, **offline, **(env or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}", server, Path(place) / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):  # it did not even start
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _own_graphs() -> dict[str, Any]:
    folder = Path(graphs.__file__).resolve().parent
    return {
        "dependencies": ["."],
        "graphs": {name: f"{folder / name}.py:graph" for name in ("agent", "forget", "mirror", "talker", "thinker")},
        "checkpointer": {"serde": {"pickle_fallback": False}},
    }


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    direct = build_opener(ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(URLError, ConnectionError), direct.open(f"{url}/ok"):
            return
        time.sleep(0.1)
    raise ConfigurationError(f"langgraph dev did not start: {log.read_text()[-2_000:]}")
