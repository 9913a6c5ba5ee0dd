"""Reading the data and compiling the patterns that a turn needs, before a reply waits for them."""

from mirror_graph import relevance
from mirror_graph.guard.words import wordings, words
from mirror_graph.ledger.scan import warm_up as warm_up_scanner


def warm_up() -> None:
    """Read and compile what the scanner, the relations and the guard need. It is done once per process."""
    relevance.warm_up()
    warm_up_scanner()
    words()
    wordings()
