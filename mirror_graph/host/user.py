"""A user's constraints across conversations: list, add, edit, export and erase."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Unpack, cast, get_args

from langgraph.store.base import BaseStore
from typing_extensions import TypedDict

from mirror_graph.errors import ConfigurationError, NoRoomError, UnknownConstraintError
from mirror_graph.ledger.assertion import ABOUT_LIMIT, SUBJECT_LIMIT, is_in
from mirror_graph.ledger.identity import constraint_id
from mirror_graph.ledger.repeats import with_provisional
from mirror_graph.ledger.user_constraints import (
    EDITED,
    STATED,
    apply_edits,
    drop_provisional,
    erase,
    evicted,
    is_erased,
    load_lists,
    save,
    tombstone,
    user_lock,
)
from mirror_graph.scheduling.labels import about_run
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import CONSTRAINT_LIMIT
from mirror_graph.state.text import sanitize
from mirror_graph.state.values import Kind, Severity, Source, Status
from mirror_graph.storage.audit import log_erased

EXPORT_VERSION = 1


class ConstraintChanges(TypedDict, total=False):
    """What a user may change of a constraint."""

    kind: Kind
    about: str
    severity: Severity
    subject: str
    status: Status


class User:
    """A user's constraints, which apply in all of their conversations. Changes made here override every thought."""

    def __init__(
        self,
        store: BaseStore,
        user_id: str,
        scrub: Callable[[], Awaitable[None]] | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._user_id = user_id
        self._scrub = scrub
        self._on_change = on_change

    async def constraints(self) -> list[SafetyConstraint]:
        """Return all constraints of the user, including retracted ones: the 64 most important ones at most.

        Up to 64 more are `provisional`: the scanner found them, and no thinking pass has read their messages yet.
        """
        lists = await load_lists(self._store, self._user_id)
        listed = with_provisional(apply_edits([], lists.stated, lists.edited), lists.provisional_beyond(None))
        return [entry for entry in listed if not is_erased(entry)]

    async def evicted(self) -> int:
        """Return how many constraints were evicted because the list was full; the least important ones go first."""
        return await evicted(self._store, self._user_id)

    async def export(self) -> str:
        """Return all constraints as JSON, for the user to take away."""
        exported = {
            "version": EXPORT_VERSION,
            "user": self._user_id,
            "constraints": await self.constraints(),
        }
        return json.dumps(exported, ensure_ascii=False, indent=2)

    async def add(
        self, about: str, *, kind: Kind = "other", severity: Severity = "serious", subject: str = "user"
    ) -> SafetyConstraint:
        """Add a constraint in the user's own words, one short line.

        Raises `NoRoomError` if the list is full of more important ones, and `ConfigurationError` for words or a kind
        that are not valid.
        """
        about, subject = _line(about), _line(subject)
        _check({"about": about, "kind": kind, "severity": severity, "subject": subject})
        entry: SafetyConstraint = {
            "id": constraint_id(kind, about, subject),
            "kind": kind,
            "about": about,
            "severity": severity,
            "subject": subject,
            "status": "active",
            "source": {"message": "", "turn": 0, "quote": about, "language": "", "recorded_at": time.time()},
            "first_turn": 0,
        }
        return await self._edited(entry)

    async def edit(self, constraint_id: str, **changes: Unpack[ConstraintChanges]) -> SafetyConstraint:
        """Change a constraint. If it is about something else afterwards, its old quote is dropped.

        Raises `UnknownConstraintError`, and `ConfigurationError` for invalid values.
        """
        lines = {name: _line(value) if name in _LONGEST else value for name, value in changes.items()}
        _check(lines)
        for entry in await self.constraints():
            if entry["id"] == constraint_id:
                status = "active" if entry["status"] == "provisional" else entry["status"]
                edited = cast(SafetyConstraint, {**entry, "status": status, **lines})
                source: Source = {**entry["source"], "recorded_at": time.time()}
                if any(entry.get(key) != edited.get(key) for key in ("about", "kind", "subject")):
                    source = {**source, "quote": edited["about"], "message": "", "turn": 0}
                    edited.pop("triggers", None)
                edited["source"] = source
                return await self._edited(edited)
        raise UnknownConstraintError(constraint_id)

    async def forget(self, constraint_id: str | None = None) -> None:
        """Erase one constraint, in every conversation from its next turn on, or all of the user's constraints.

        The id of a single erased constraint is stored, so that no conversation brings it back. If all are erased,
        nothing is stored: an old conversation shares what it knows again when it continues.
        """
        if constraint_id is None:
            await erase(self._store, self._user_id)
            self._note_change()
        else:
            await self._edited(tombstone(constraint_id, time.time()))
        if self._scrub is not None:
            await self._scrub()
        user = about_run(self._user_id)["mirror_user"]
        log_erased("constraints", user=user, id=constraint_id or "all")

    async def _edited(self, entry: SafetyConstraint) -> SafetyConstraint:
        async with user_lock(self._user_id):
            lists = await load_lists(self._store, self._user_id)
            before = {STATED: lists.stated, EDITED: lists.edited}
            others = [known for known in lists.edited if known["id"] != entry["id"]]
            saved = await save(self._store, self._user_id, before, {**before, EDITED: [*others, entry]})
            # An edit that the full list has no room for must not look as if it had been taken.
            if entry["id"] not in saved:
                raise NoRoomError(CONSTRAINT_LIMIT)
            await drop_provisional(self._store, self._user_id, lists, lambda known: known["id"] == entry["id"])
        self._note_change()
        return entry

    def _note_change(self) -> None:
        """Let those who watch the user's conversations know."""
        if self._on_change is not None:
            self._on_change()


def _line(value: Any) -> Any:
    """Return a text as it may be stored. What is no text is left for `_check` to refuse."""
    return sanitize(value).strip() if isinstance(value, str) else value


def _check(changes: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for the first invalid value of `changes`."""
    for name, value in changes.items():
        closed = _CLOSED.get(name)
        if closed and value not in closed:
            raise ConfigurationError(f"unknown {name} {value!r}: expected one of {', '.join(closed)}")
        longest = _LONGEST.get(name)
        if longest and not (isinstance(value, str) and is_in(value, value, longest)):
            raise ConfigurationError(f"{name} is {value!r:.80}: expected one line of 1 to {longest} characters")


_CLOSED = {"kind": get_args(Kind), "severity": get_args(Severity), "status": ("active", "retracted")}
_LONGEST = {"about": ABOUT_LIMIT, "subject": SUBJECT_LIMIT}
