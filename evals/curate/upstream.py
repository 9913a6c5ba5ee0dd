"""CURATe's own files, fetched from where its authors publish them, at one commit."""

import os
import subprocess
import tempfile
from pathlib import Path

from mirror_graph.errors import ConfigurationError
from mirror_graph.models.weights import models_folder

REPOSITORY = "https://github.com/lize-alberts/llm_prag_benchmark.git"
COMMIT = "8079c2d662ead834111e2a4148750010f1dd90a0"
"""What is fetched: Git checks that every byte hashes up to it (docs/decisions/0009)."""


def fetched(commit: str = COMMIT) -> Path:
    """Return the folder that CURATe's workbooks are fetched to."""
    return models_folder().parent / f"curate-{commit[:8]}"


def fetch(repository: str = REPOSITORY, commit: str = COMMIT) -> Path:
    """Fetch CURATe's workbooks, unless they are there, and return their folder; a few megabytes.

    They carry no licence: measure with them, and do not pass them on.

    Raises `ConfigurationError`, and keeps nothing, where Git is missing or says no, or brings no `inputs.xlsx`.
    """
    folder = fetched(commit)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as clone:
        _git(clone, "init", "--quiet")
        _git(clone, "fetch", "--quiet", "--depth=1", repository, commit)
        _git(clone, "checkout", "--quiet", commit)
        if not Path(clone, "inputs.xlsx").is_file():
            raise ConfigurationError(f"no inputs.xlsx in {repository} at {commit}: expected CURATe's workbooks")
        whole = Path(clone, "workbooks")
        whole.mkdir()
        for workbook in Path(clone).glob("*.xlsx"):
            workbook.rename(whole / workbook.name)
        whole.rename(folder)
    return folder


def _git(folder: str, *arguments: str) -> None:
    unasked = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        subprocess.run(["git", "-C", folder, *arguments], env=unasked, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise ConfigurationError("CURATe is fetched with git, which is not installed") from error
    except subprocess.CalledProcessError as error:
        problem = error.stderr.strip() or f"git {arguments[0]} ended with {error.returncode}"
        raise ConfigurationError(f"CURATe was not fetched: {problem}") from error
