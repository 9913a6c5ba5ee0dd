"""Reading the data and compiling the patterns that a turn needs, before a reply waits for them."""

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from mirror_graph import relevance
from mirror_graph.guard.words import wordings, words
from mirror_graph.ledger.scan import warm_up as warm_up_scanner
from mirror_graph.ledger.scan import warm_up_other_languages

PAUSE_SECONDS = 5.0
"""Seconds between English and the other languages: a first reply, or a short program, has the core to itself."""


def warm_up() -> None:
    """Read and compile what a turn in English needs. It is done once per process."""
    with _collector_paused():
        relevance.warm_up()
        warm_up_scanner()
        words()
        wordings()


@cache
def start_warm_up() -> None:
    """Read and compile what a turn in any language needs, in a thread that nothing waits for, once per process."""
    threading.Thread(target=_warm_up_every_language, name="mirror-warm-up", daemon=True).start()


def _warm_up_every_language() -> None:
    warm_up()
    time.sleep(PAUSE_SECONDS)
    with _collector_paused():
        warm_up_other_languages()


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the collector of cycles, which otherwise takes a third of the time.

    To parse a pattern makes very many objects. None of them is in a cycle, so all are freed without a collector.
    """
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()
