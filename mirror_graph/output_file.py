"""A file that a command writes at its end, checked before the command starts."""

from pathlib import Path

from mirror_graph.errors import ConfigurationError


def check_output(path: Path | None) -> Path | None:
    """Return the path of a file that a command will write, and make its folder.

    A run may take hours and cost money, so a wrong path is an error before it starts. Raises `ConfigurationError`.
    """
    if path is None:
        return None
    if path.is_dir():
        raise ConfigurationError(f"cannot write {str(path)!r}, because it is a folder: expected the path of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the folder of {str(path)!r}: {error.strerror}. Name a file in a folder that you can write to"
        ) from error
    return path
