"""What is shipped is what stands in the folders: packages, prompts, graphs, sdist and wheel."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = {package: ROOT / folder for package, folder in SETUPTOOLS["package-dir"].items()}
ROOMS = {folder.name for folder in FOLDERS.values()} - {"mirror_graph"}
LOCK_FILES = {"uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "package-lock.json", "yarn.lock"}
REGISTRIES = re.compile(rb"\b(pypi[.]org|files[.]pythonhosted|registry[.]npmjs)")

BUILD_A_GRAPH = """
import mirror_graph, mirror_graph.state
print(mirror_graph.__file__, mirror_graph.state.__file__, sep="\\n")
mirror_graph.build_mirror().compile()
"""


def packages_on_disk() -> dict[str, list[str]]:
    """List the files of every folder below the rooms and the front, links not followed."""
    packages = {}
    for package, top in FOLDERS.items():
        for folder, inner, files in os.walk(top):
            inner[:] = [name for name in inner if name != "__pycache__"]
            if files:
                packages[".".join([package, *Path(folder).relative_to(top).parts])] = files
    return packages


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    return [ROOT / name for name in run("git", "ls-files", "-z", cwd=ROOT).split("\0") if name]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    finished = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_the_listed_packages_are_the_folders_on_disk() -> None:
    assert set(SETUPTOOLS["packages"]) == set(packages_on_disk())


def test_every_package_has_an_init_file() -> None:
    assert [package for package, files in packages_on_disk().items() if "__init__.py" not in files] == []


def test_every_room_at_the_top_is_in_the_package_map() -> None:
    not_installed = {"mirror_graph", "tests", "bench"}
    at_the_top = {init.parent.name for init in ROOT.glob("*/__init__.py")} - not_installed
    assert at_the_top == ROOMS


def test_every_room_is_linked_into_the_package() -> None:
    links = {path.name: os.readlink(path) for path in (ROOT / "mirror_graph").iterdir() if path.is_symlink()}
    assert links == {room: f"../{room}" for room in ROOMS}


def test_every_prompt_is_package_data() -> None:
    prompts = FOLDERS["mirror_graph.prompts"]
    shipped = {path for pattern in SETUPTOOLS["package-data"]["mirror_graph.prompts"] for path in prompts.glob(pattern)}
    assert shipped >= set(prompts.rglob("*.md"))


def test_the_server_is_offered_six_graphs_from_files_that_exist() -> None:
    graphs = json.loads((ROOT / "langgraph.json").read_text())["graphs"]
    assert set(graphs) == {"agent", "forget", "mirror", "recommend", "talker", "thinker"}
    assert [path for path in graphs.values() if not (ROOT / path.rpartition(":")[0]).is_file()] == []


def test_no_lock_file_is_committed() -> None:
    assert [path for path in tracked_files() if path.name in LOCK_FILES] == []


def test_no_registry_address_is_committed() -> None:
    files = [path for path in tracked_files() if path.is_file()]
    assert [path for path in files if REGISTRIES.search(path.read_bytes())] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wheel_built_from_the_sdist_runs_away_from_the_checkout(tmp_path: Path) -> None:
    source, built, installed, elsewhere = (tmp_path / name for name in ("source", "built", "installed", "elsewhere"))
    elsewhere.mkdir()
    leftovers = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
    shutil.copytree(ROOT, source, symlinks=True, ignore=leftovers)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")

    run(sys.executable, "-c", f"from setuptools.build_meta import build_sdist; build_sdist({str(built)!r})", cwd=source)
    [sdist] = built.glob("*.tar.gz")
    run(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", built, sdist, cwd=elsewhere)
    [wheel] = built.glob("*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--target", installed, wheel, cwd=elsewhere)

    imported_from = run(sys.executable, "-c", BUILD_A_GRAPH, cwd=elsewhere, PYTHONPATH=str(installed)).splitlines()
    assert [path for path in imported_from if not path.startswith(str(installed))] == []
    prompts = {path.name for path in FOLDERS["mirror_graph.prompts"].glob("*.md")}
    assert {path.name for path in (installed / "mirror_graph/prompts").glob("*.md")} == prompts
