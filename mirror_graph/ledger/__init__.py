"""The ledger: a user's safety constraints, which no summary can lose."""

from mirror_graph.ledger.identity import constraint_id
from mirror_graph.ledger.scan import scan

__all__ = ["constraint_id", "scan"]
