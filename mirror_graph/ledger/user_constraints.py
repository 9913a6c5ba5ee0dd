"""What a user's conversations share: what was stated in any of them, and what the user has edited."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple, cast
from weakref import WeakValueDictionary

from langgraph.store.base import BaseStore, Item, SearchItem, SearchOp

from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import CONSTRAINT_LIMIT, ids_of, merge_constraints, priority, without_ids
from mirror_graph.state.migration import migrate_constraints
from mirror_graph.state.validation import is_constraint

ROOT = "mirror"
STATED, EDITED = "told", "edited"
"""Two namespaces, so that a thinking pass can never overwrite the user's own edit. Stored names do not change."""

Lists = Mapping[str, Sequence[SafetyConstraint]]
"""Both lists of a user, by namespace."""

EVICTED = "evicted"
"""The namespace that counts what a full list had no room for."""

ERASED_LIMIT = 1_000
"""How many erased constraints are remembered, the latest first."""


OWNER = "owner"
"""The field of a stored item that says whose it is, besides its place."""


def owner_mark(user_id: str) -> str:
    """Return the mark of a user in the store: always the same, and the id cannot be read from it."""
    return sha256(user_id.encode()).hexdigest()


def namespace(user_id: str, kind: str) -> tuple[str, ...]:
    """Return where a user's constraints are stored. It depends on the user's id alone."""
    return ROOT, owner_mark(user_id), kind


def is_owned(item: Item, place: tuple[str, ...], owner: str) -> bool:
    """Say whether an item is at `place` itself and is its owner's. Items of earlier releases name no owner."""
    # A search also finds what is stored below a place, and in some stores what merely begins like it.
    return item.namespace == place and item.value.get(OWNER, owner) == owner


class UserLists(NamedTuple):
    """What a user's store holds: what their conversations stated, their own edits, and how many items are neither.

    `provisional` is what the scanner found in messages that no pass has read yet, by `provisional_key`.
    """

    stated: list[SafetyConstraint]
    edited: list[SafetyConstraint]
    unreadable: int
    provisional: dict[str, SafetyConstraint]

    def provisional_beyond(self, thread_id: str | None) -> list[SafetyConstraint]:
        """Return what is provisional, but for what `thread_id` stated: a thread reads its own messages itself.

        What the user has edited is left out, because the edit outranks it.
        """
        beyond: list[SafetyConstraint] = []
        for key, constraint in self.provisional.items():
            if thread_id is None or not key.startswith(thread_mark(thread_id)):
                beyond.append(constraint)
        return without_ids(beyond, ids_of(self.edited))


def thread_mark(thread_id: str) -> str:
    """Return how the keys of a thread's provisional constraints begin."""
    return f"{owner_mark(thread_id)[:16]}."


def provisional_key(thread_id: str, constraint: SafetyConstraint) -> str:
    """Return where a provisional constraint is stored: apart from what other messages state of the same danger."""
    return f"{thread_mark(thread_id)}{owner_mark(constraint['source']['message'])[:16]}.{constraint['id']}"


async def load_lists(store: BaseStore, user_id: str) -> UserLists:
    """Read both lists of a user. An item that is no constraint is left out and counted; it stays in the store."""
    # Both in one step: each step of its own is a transaction.
    searches = [SearchOp(namespace(user_id, kind), limit=2 * ERASED_LIMIT) for kind in (STATED, EDITED)]
    found = cast("list[list[SearchItem]]", await store.abatch(searches))
    shared, edited = _readable(found[0], user_id, STATED), _readable(found[1], user_id, EDITED)
    unreadable = len(found[0]) + len(found[1]) - len(shared) - len(edited)
    provisional: dict[str, SafetyConstraint] = {}
    stated: list[SafetyConstraint] = []
    for key, constraint in shared.items():
        if constraint["status"] == "provisional":
            provisional[key] = constraint
        else:
            stated.append(constraint)
    return UserLists(stated, list(edited.values()), unreadable, provisional)


def _readable(items: Sequence[SearchItem], user_id: str, kind: str) -> dict[str, SafetyConstraint]:
    """Return the constraints among stored items by their key, without the items that are none or another user's."""
    place, owner = namespace(user_id, kind), owner_mark(user_id)
    readable: dict[str, SafetyConstraint] = {}
    for item, value in zip(items, migrate_constraints(list(map(_without_owner, items))), strict=True):
        # One item that another program damaged, or put there, must not hide all others.
        if not is_owned(item, place, owner) or not is_constraint(value):
            continue
        if value["id"] == item.key.rpartition(".")[2]:
            readable[item.key] = value
    return readable


def apply_edits(
    ledger: Sequence[SafetyConstraint], stated: Sequence[SafetyConstraint], edited: Sequence[SafetyConstraint]
) -> list[SafetyConstraint]:
    """Return a conversation's ledger with what other conversations stated, and with the user's own edits above all.

    An edit replaces every version of its constraint, and is dated after it, so that it also wins whenever the two are
    merged again.
    """
    merged = merge_constraints(list(ledger), list(stated))
    edits = {edit["id"]: edit for edit in edited}
    replaced: list[SafetyConstraint] = []
    for constraint in merged:
        # History has an id of its own, behind an "@". An edit concerns it by the id of its constraint.
        identity = constraint["id"].partition("@")[0]
        replaced.append(_in_place_of(constraint, edits.get(identity)))
    # What the user erased and no conversation holds needs no place in a ledger.
    new = [edit for edit in without_ids(edited, ids_of(merged)) if not is_erased(edit)]
    return merge_constraints(replaced, new)


def tombstone(constraint_id: str, at: float) -> SafetyConstraint:
    """Return what is left of a constraint that its user erased: its id, and none of its words."""
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


def is_erased(constraint: SafetyConstraint) -> bool:
    """Say whether a constraint's words are gone."""
    return not constraint["about"]


def _in_place_of(constraint: SafetyConstraint, edit: SafetyConstraint | None) -> SafetyConstraint:
    """Return the user's edit of a constraint in its place, or the constraint itself if it was not edited."""
    if edit is None or constraint["source"] == edit["source"]:
        return constraint
    # History stays as it was, but for the words of what the user erased.
    if constraint["status"] == "superseded" and not is_erased(edit):
        return constraint
    # Dated after the version that it replaces: of two versions, the later one wins wherever they are merged.
    at = max(edit["source"]["recorded_at"], constraint["source"]["recorded_at"] + 0.001)
    return {**edit, "id": constraint["id"], "source": {**edit["source"], "recorded_at": at}}


async def publish(
    store: BaseStore,
    user_id: str,
    update: Callable[[UserLists], list[SafetyConstraint]],
    read: Collection[str] = (),
) -> list[SafetyConstraint]:
    """Let the user's other conversations know of the ledger that `update` returns.

    `update` receives the user's lists, which are read once, under the user's lock. Only what is new is written.
    Provisional constraints from the messages with the ids `read` are dropped: those that hold are in the ledger.
    """
    async with user_lock(user_id):
        lists = await load_lists(store, user_id)
        ledger = update(lists)
        # What the user erased is superseded by now, so it is not shared again.
        news = [constraint for constraint in ledger if constraint["status"] in ("active", "retracted")]
        before = {STATED: lists.stated, EDITED: lists.edited}
        await save(store, user_id, before, {**before, STATED: merge_constraints(lists.stated, news)})
        await drop_provisional(store, user_id, lists, lambda entry: entry["source"]["message"] in read)
        return ledger


async def publish_provisional(
    store: BaseStore, user_id: str, thread_id: str, found: Sequence[SafetyConstraint]
) -> None:
    """Let the user's other conversations know at once of what the scanner found, until a pass has read it.

    `found` is everything that the unread messages of the thread state. What was shared of the thread before, and is
    not among it, is withdrawn: its message was edited.
    """
    async with user_lock(user_id):
        lists = await load_lists(store, user_id)
        own = thread_mark(thread_id)
        after = {key: constraint for key, constraint in lists.provisional.items() if not key.startswith(own)}
        # A user's edit stands above their words.
        for constraint in without_ids(found, ids_of(lists.edited)):
            # What is known to be as severe already is no news.
            if is_known(lists.stated, constraint):
                continue
            key = provisional_key(thread_id, constraint)
            shared = lists.provisional.get(key)
            # Shared again by each turn until a pass has read it: the first time counts.
            after[key] = shared if shared and _is_same_statement(shared, constraint) else constraint
        heaviest = sorted(after.items(), key=lambda entry: priority(entry[1]))[:CONSTRAINT_LIMIT]
        await _write_items(store, user_id, lists.provisional, dict(heaviest))


async def withdraw(store: BaseStore, user_id: str, is_withdrawn: Callable[[SafetyConstraint], bool]) -> None:
    """Take what one message alone has stated off the list of what the user's conversations share."""
    async with user_lock(user_id):
        lists = await load_lists(store, user_id)
        # The user's own edits stay: they are not what a message stated.
        staying = [constraint for constraint in lists.stated if not is_withdrawn(constraint)]
        if len(staying) < len(lists.stated):
            await _write_changes(store, user_id, STATED, lists.stated, staying)
        await drop_provisional(store, user_id, lists, is_withdrawn)


async def drop_provisional(
    store: BaseStore, user_id: str, lists: UserLists, is_dropped: Callable[[SafetyConstraint], bool]
) -> None:
    """Take some of the user's provisional constraints off the list. The user's lock is to be held."""
    staying = {key: constraint for key, constraint in lists.provisional.items() if not is_dropped(constraint)}
    await _write_items(store, user_id, lists.provisional, staying)


def user_lock(user_id: str) -> asyncio.Lock:
    """Return the lock under which a user's lists are read and written, so that no change of this process is lost."""
    key = user_id, id(asyncio.get_running_loop())
    lock = _writing.get(key)
    if lock is None:
        lock = _writing[key] = asyncio.Lock()
    return lock


_writing: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()


async def save(store: BaseStore, user_id: str, before: Lists, after: Lists) -> set[str]:
    """Store a user's lists in place of what was there; of both together the 64 most important stay, as in a ledger.

    Returns the ids that are stored, those of erased constraints included. What had to leave is counted.
    """
    bounded = _bounded(after)
    for kind, constraints in bounded.items():
        await _write_changes(store, user_id, kind, before[kind], constraints)
    stored = _all_ids(bounded)
    lost = len(_all_ids(before) - stored)
    if lost:
        count = await evicted(store, user_id) + lost
        await store.aput(namespace(user_id, EVICTED), EVICTED, {"count": count}, index=False)
    return stored


async def erase(store: BaseStore, user_id: str) -> None:
    """Erase everything that is stored about a user, without a trace: not even what was erased is remembered."""
    for kind in (STATED, EDITED, EVICTED):
        for item in await store.asearch(namespace(user_id, kind), limit=10_000):
            await store.adelete(item.namespace, item.key)


def _bounded(lists: Lists) -> dict[str, list[SafetyConstraint]]:
    """Return both lists with only the most important constraints, and the latest of the erased ones."""
    listed = apply_edits([], lists[STATED], lists[EDITED])
    staying = ids_of(listed) - ids_of(filter(is_erased, listed))
    bounded: dict[str, list[SafetyConstraint]] = {}
    for kind in (STATED, EDITED):
        bounded[kind] = [constraint for constraint in lists[kind] if constraint["id"] in staying]
    # An erased constraint is remembered, by its id alone: otherwise another conversation would share it again.
    erased = sorted(filter(is_erased, lists[EDITED]), key=lambda constraint: constraint["source"]["recorded_at"])
    bounded[EDITED] += erased[-ERASED_LIMIT:]
    return bounded


async def _write_changes(
    store: BaseStore,
    user_id: str,
    kind: str,
    before: Sequence[SafetyConstraint],
    after: Sequence[SafetyConstraint],
) -> None:
    """Write what is new or changed in a list, and delete what is no longer in it."""
    await _write_items(store, user_id, _by_id(before), _by_id(after), kind)


async def _write_items(
    store: BaseStore,
    user_id: str,
    before: Mapping[str, SafetyConstraint],
    after: Mapping[str, SafetyConstraint],
    kind: str = STATED,
) -> None:
    """Write what is new or changed among items, and delete what is no longer among them."""
    place = namespace(user_id, kind)
    for key, constraint in after.items():
        if before.get(key) != constraint:
            await store.aput(place, key, {**constraint, OWNER: owner_mark(user_id)}, index=False)
    for key in before:
        if key not in after:
            await store.adelete(place, key)


def is_known(stated: Sequence[SafetyConstraint], constraint: SafetyConstraint) -> bool:
    """Say whether a constraint is shared already, as severe as it is now stated."""
    for known in stated:
        # One that was taken back does not count: what is stated after that holds again.
        if known["id"] != constraint["id"] or known["status"] != "active":
            continue
        if known["severity"] in (constraint["severity"], "life-threatening"):
            return True
    return False


def _is_same_statement(one: SafetyConstraint, other: SafetyConstraint) -> bool:
    return one["severity"] == other["severity"] and one["source"]["quote"] == other["source"]["quote"]


def _by_id(constraints: Sequence[SafetyConstraint]) -> dict[str, SafetyConstraint]:
    return {constraint["id"]: constraint for constraint in constraints}


def _without_owner(item: Item) -> dict[str, Any]:
    return {key: part for key, part in item.value.items() if key != OWNER}


async def evicted(store: BaseStore, user_id: str) -> int:
    """Return how many of a user's constraints had to leave a full list."""
    item = await store.aget(namespace(user_id, EVICTED), EVICTED)
    count = item.value.get("count") if item else 0
    return count if isinstance(count, int) else 0


def _all_ids(lists: Lists) -> set[str]:
    return ids_of(chain.from_iterable(lists.values()))
