"""Encryption at rest: the keys, and a store whose items are encrypted."""

from mirror_graph.encryption.items import ROOT, SealedStore, seal_store
from mirror_graph.encryption.keys import NO_KEYS, VARIABLE, Keyring, is_sealed, new_key

__all__ = ["NO_KEYS", "ROOT", "VARIABLE", "Keyring", "SealedStore", "is_sealed", "new_key", "seal_store"]
