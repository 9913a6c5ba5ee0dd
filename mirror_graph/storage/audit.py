"""The audit log: one line for everything that is erased, without a word of it."""

import logging

log = logging.getLogger("mirror_graph.audit")
"""Its level is INFO. It names threads and constraints by their ids, and users by a hash."""


def log_erased(what: str, **about: object) -> None:
    """Write that something was erased. `about` holds ids and numbers, never content."""
    log.info("erased %s %s", what, " ".join(f"{name}={value}" for name, value in about.items()))
