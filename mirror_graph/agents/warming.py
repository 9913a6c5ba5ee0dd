"""Reading the data and compiling the patterns of the ledger before a reply waits for it."""

import threading
from functools import cache

from mirror_graph import relevance
from mirror_graph.guard.words import wordings, words
from mirror_graph.ledger.scan import warm_up as warm_up_scanner


@cache
def start_warm_up() -> None:
    """Warm up in a thread, once per process: it takes two seconds of a core, and no program waits for it."""
    threading.Thread(target=warm_up, name="mirror-warm-up", daemon=True).start()


def warm_up() -> None:
    """Read and compile what a turn needs. It is done once per process, whoever calls it."""
    relevance.warm_up()
    warm_up_scanner()
    words()
    wordings()
