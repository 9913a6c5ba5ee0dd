"""A store whose items of ours are encrypted: the constraints of users, and minds that a server keeps as items."""

import copy
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import zstandard
from langgraph.store.base import BaseStore, Item, Op, PutOp, Result

from mirror_graph.encryption.keys import Keyring, is_sealed
from mirror_graph.errors import DamagedValueError

ROOT = "mirror"
"""The first part of every namespace of ours. Items of other namespaces are left as they are."""

SEALED = "sealed"
"""The only field of an encrypted item."""


class SealedStore(BaseStore):
    """A store of LangGraph's that encrypts what is written under `("mirror", ...)` and decrypts what is read there.

    Namespaces and keys stay as they are, so encrypted items can be listed and deleted, but not searched by content.
    Items that are not encrypted are read as they are.
    """

    def __init__(self, store: BaseStore, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what is asked in one step."""
        return [self._opened(result) for result in self._store.batch([self._sealed(op) for op in ops])]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what is asked in one step."""
        return [self._opened(result) for result in await self._store.abatch([self._sealed(op) for op in ops])]

    def _sealed(self, op: Op) -> Op:
        if not self._keyring or not isinstance(op, PutOp) or op.value is None or op.namespace[:1] != (ROOT,):
            return op
        return op._replace(value=seal_item(self._keyring, op.value, op.namespace, op.key), index=False)

    def _opened(self, result: Result) -> Any:
        if isinstance(result, list):
            return [self._opened_or_sealed(item) if isinstance(item, Item) else item for item in result]
        if not isinstance(result, Item) or not is_sealed_item(result.value):
            return result
        # A copy: a store in memory returns the very item that it holds.
        opened = copy.copy(result)
        opened.value = open_item(self._keyring, result.value, result.namespace, result.key)
        return opened

    def _opened_or_sealed(self, item: Item) -> Any:
        """Return an item of a search. One that was changed stays encrypted, and so costs none of the others."""
        try:
            return self._opened(item)
        except DamagedValueError:
            return item


def seal_store(store: BaseStore) -> SealedStore:
    """Return a store that encrypts with the keys of the environment, unless it is one that encrypts already."""
    return store if isinstance(store, SealedStore) else SealedStore(store, Keyring.chosen(None))


def is_sealed_item(value: Mapping[str, Any]) -> bool:
    """Say whether an item's value is encrypted."""
    return value.keys() == {SEALED} and is_sealed(sealed_bytes(value))


def seal_item(keyring: Keyring, value: Mapping[str, Any], namespace: tuple[str, ...], key: str) -> dict[str, Any]:
    """Return the encrypted value of an item."""
    plain = zstandard.compress(json.dumps(dict(value), ensure_ascii=False).encode())
    return {SEALED: b64encode(keyring.seal(plain, _place(namespace, key))).decode()}


def open_item(keyring: Keyring, value: Mapping[str, Any], namespace: tuple[str, ...], key: str) -> dict[str, Any]:
    """Return what `seal_item` was given. Raises the errors of `Keyring.open`."""
    opened: dict[str, Any] = json.loads(zstandard.decompress(keyring.open(sealed_bytes(value), _place(namespace, key))))
    return opened


def sealed_bytes(value: Mapping[str, Any]) -> bytes:
    """Return the encrypted bytes of an item's value, or none if they cannot be read."""
    try:
        return b64decode(value[SEALED], validate=True)
    except (TypeError, ValueError):
        return b""


def _place(namespace: tuple[str, ...], key: str) -> tuple[str, ...]:
    return "item", *namespace, key
