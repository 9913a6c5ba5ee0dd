"""What a user's conversations share: what was told in any of them, and what the user has edited themselves."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, cast
from weakref import WeakValueDictionary

from langgraph.store.base import BaseStore

from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import merge_constraints
from mirror_graph.state.migration import migrate_constraints
from mirror_graph.state.validation import is_constraint

ROOT = "mirror"
TOLD, EDITED = "told", "edited"
"""Two namespaces, so that a thought can never overwrite the user's own edit."""

Lists = Mapping[str, Sequence[SafetyConstraint]]
"""Both lists of a user, by namespace."""

EVICTED = "evicted"
"""Where it is counted what a full list had no room for."""

ERASED_LIMIT = 1_000
"""How many erased entries are remembered, the latest."""


def namespace(user_id: str, kind: str) -> tuple[str, ...]:
    """Return where a user's constraints are kept: from their identity alone, which is not readable in it."""
    return ROOT, sha256(user_id.encode()).hexdigest(), kind


class UserLists(NamedTuple):
    """What a user's store holds: what their conversations told, their own edits, and how many items are neither."""

    told: list[SafetyConstraint]
    edited: list[SafetyConstraint]
    unreadable: int


async def load_lists(store: BaseStore, user_id: str) -> UserLists:
    """Read both lists of a user. An item that is no constraint is left out and counted; it stays in the store."""
    readable: dict[str, list[SafetyConstraint]] = {}
    unreadable = 0
    for kind in (TOLD, EDITED):
        items = await store.asearch(namespace(user_id, kind), limit=2 * ERASED_LIMIT)
        stored = zip(items, migrate_constraints([item.value for item in items]), strict=True)
        readable[kind] = [value for item, value in stored if is_constraint(value) and value["id"] == item.key]
        unreadable += len(items) - len(readable[kind])
    return UserLists(readable[TOLD], readable[EDITED], unreadable)


def apply_edits(
    ledger: Sequence[SafetyConstraint], told: Sequence[SafetyConstraint], edited: Sequence[SafetyConstraint]
) -> list[SafetyConstraint]:
    """Return a conversation's ledger with what other conversations told, and with the user's own edits above all.

    An edit takes the place of every version of its entry, and is dated after it, so that it stays in its place
    wherever the two are merged again.
    """
    merged = merge_constraints(list(ledger), list(told))
    edits = {entry["id"]: entry for entry in edited}
    known = {entry["id"] for entry in merged}
    return merge_constraints(
        [_in_place_of(entry, edits.get(entry["id"].partition("@")[0])) for entry in merged],
        [entry for entry in edited if entry["id"] not in known and not is_erased(entry)],
    )


def tombstone(constraint_id: str, at: float) -> SafetyConstraint:
    """Return what is left of an entry that its user erased: that there was one, and not a word of it."""
    return {
        "id": constraint_id,
        "kind": "other",
        "about": "",
        "severity": "preference",
        "subject": "user",
        "status": "superseded",
        "source": {"message": "", "turn": 0, "quote": "", "language": "", "recorded_at": at},
        "first_turn": 0,
    }


def is_erased(entry: SafetyConstraint) -> bool:
    """Say whether an entry's words are gone."""
    return not entry["about"]


def _in_place_of(entry: SafetyConstraint, edit: SafetyConstraint | None) -> SafetyConstraint:
    if edit is None or entry["source"] == edit["source"]:
        return entry
    at = max(edit["source"]["recorded_at"], entry["source"]["recorded_at"] + 0.001)
    if entry["status"] == "superseded" and not is_erased(edit):
        return entry
    return {**edit, "id": entry["id"], "source": {**edit["source"], "recorded_at": at}}


async def publish(
    store: BaseStore, user_id: str, update: Callable[[UserLists], list[SafetyConstraint]]
) -> list[SafetyConstraint]:
    """Let the user's other conversations know of the ledger that `update` returns.

    `update` receives the user's lists, read under the user's lock and not again. Only what is new is written.
    """
    async with user_lock(user_id):
        lists = await load_lists(store, user_id)
        ledger = update(lists)
        # What the user erased is superseded by now, so it is not shared again.
        news = [entry for entry in ledger if entry["status"] in ("active", "retracted")]
        before = {TOLD: lists.told, EDITED: lists.edited}
        await save(store, user_id, before, {**before, TOLD: merge_constraints(lists.told, news)})
        return ledger


def user_lock(user_id: str) -> asyncio.Lock:
    """Return the lock under which a user's lists are read and written, so that no change of this process is lost."""
    key = user_id, id(asyncio.get_running_loop())
    lock = _writing.get(key)
    if lock is None:
        lock = _writing[key] = asyncio.Lock()
    return lock


_writing: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()


async def save(store: BaseStore, user_id: str, before: Lists, after: Lists) -> set[str]:
    """Store what is known of a user in the place of what was: of both lists the 64 weightiest, as in a ledger.

    Returns the ids that are kept, those of erased entries among them; what had to leave is counted.
    """
    listed = apply_edits([], after[TOLD], after[EDITED])
    room = {entry["id"] for entry in listed if not is_erased(entry)}
    gone = sorted(
        (entry for entry in after[EDITED] if is_erased(entry)), key=lambda entry: entry["source"]["recorded_at"]
    )
    bounded = {kind: [entry for entry in after[kind] if entry["id"] in room] for kind in (TOLD, EDITED)}
    bounded[EDITED] += gone[-ERASED_LIMIT:]
    for kind, entries in bounded.items():
        known = {entry["id"]: entry for entry in before[kind]}
        for entry in entries:
            if known.pop(entry["id"], None) != entry:
                value = cast("dict[str, Any]", entry)
                await store.aput(namespace(user_id, kind), entry["id"], value, index=False)
        for constraint_id in known:
            await store.adelete(namespace(user_id, kind), constraint_id)
    kept = _ids(bounded)
    if lost := len(_ids(before) - kept):
        count = await evicted(store, user_id) + lost
        await store.aput(namespace(user_id, EVICTED), EVICTED, {"count": count}, index=False)
    return kept


async def evicted(store: BaseStore, user_id: str) -> int:
    """Return how many of a user's entries had to leave a full list."""
    item = await store.aget(namespace(user_id, EVICTED), EVICTED)
    count = item.value.get("count") if item else 0
    return count if isinstance(count, int) else 0


def _ids(lists: Lists) -> set[str]:
    return {entry["id"] for entries in lists.values() for entry in entries}
