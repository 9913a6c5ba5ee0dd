"""Reading the data and compiling the patterns that a turn needs, before a reply waits for them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from mirror_graph import relevance
from mirror_graph.guard.words import wordings, words
from mirror_graph.ledger.scan import warm_up as warm_up_scanner


def warm_up() -> None:
    """Read and compile what the scanner, the relations and the guard need. It is done once per process."""
    with _collector_paused():
        relevance.warm_up()
        warm_up_scanner()
        words()
        wordings()


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
