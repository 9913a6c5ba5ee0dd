"""CURATe's own files are fetched at one commit, whole or not at all."""

import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate import dataset, upstream
from mirror_graph.evals.curate.dataset import read_cases

openpyxl = pytest.importorskip("openpyxl")

COLUMNS = [column.name for column in fields(dataset.Case) if column.type is str or column.name == "category"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIRROR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MIRROR_CURATE_DIR", raising=False)
    monkeypatch.setattr(dataset, "DEVELOPMENT_FOLDER", tmp_path / "nothing")
    return tmp_path / "cache"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "upstream"
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def publish(repository: Path, constraint: str) -> str:
    """Commit a workbook of one case and return the commit."""
    book = openpyxl.Workbook()
    book.active.append(COLUMNS)
    case = dict.fromkeys(COLUMNS, "x") | {"language": "en", "category": "Severe allergy", "constraint": constraint}
    book.active.append([case[column] for column in COLUMNS])
    book.save(repository / "inputs.xlsx")
    (repository / "run.py").write_text("raise SystemExit")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", constraint)
    return git(repository, "rev-parse", "HEAD")


def test_the_workbooks_of_one_commit_are_fetched_once(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = publish(repository, "I have an allergy to figs")
    publish(repository, "I have an allergy to dates")
    monkeypatch.setattr(dataset, "fetched", lambda: upstream.fetched(commit))
    folder = upstream.fetch(str(repository), commit)
    assert [file.name for file in folder.iterdir()] == ["inputs.xlsx"]
    assert [case.constraint for case in read_cases("curate")] == ["I have an allergy to figs"]
    assert upstream.fetch("no repository at all", commit) == folder


@pytest.mark.parametrize("missing", ["commit", "repository", "workbook"])
def test_an_error_names_what_is_missing_and_nothing_is_stored(repository: Path, cache: Path, missing: str) -> None:
    commit = publish(repository, "I have an allergy to figs")
    if missing == "workbook":
        git(repository, "rm", "--quiet", "inputs.xlsx")
        git(repository, "commit", "--quiet", "-m", "none")
        commit = git(repository, "rev-parse", "HEAD")
    source = f"{repository}{'-gone' if missing == 'repository' else ''}"
    with pytest.raises(ConfigurationError, match="CURATe"):
        upstream.fetch(source, "0" * 40 if missing == "commit" else commit)
    assert list(cache.iterdir()) == []


def test_without_git_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="git, which is not installed"):
        upstream.fetch()


def test_without_a_copy_it_says_how_to_get_one() -> None:
    with pytest.raises(ConfigurationError, match="mirror eval fetch"):
        read_cases("curate")
