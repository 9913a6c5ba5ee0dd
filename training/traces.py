"""Rows from finished `recommend` turns of users who consented: read from a local file, and redacted.

Each line of the file is one turn, in the shape of `Trace`. Nothing writes this file by itself: a host whose users have
consented does. Nothing of it leaves the machine, and it does not hold the user's earlier messages. A row is made of the
request and of what each constraint is about, with addresses and numbers taken out.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from mirror_graph.evals.saferec.titles import key
from mirror_graph.state.offers import MOST_ITEMS, Item, Offer
from mirror_graph.training.errors import TrainingError
from mirror_graph.training.rows import (
    CatalogueRow,
    NamedItem,
    Row,
    RowSet,
    Split,
    chat_prompt,
    check_splits,
    item_key,
    item_line,
    read_lines,
    split_users,
)

_REDACTIONS = (
    (re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE), "[link]"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "[email]"),
    (re.compile(r"(?<!\w)@\w{2,}"), "[account]"),
    (re.compile(r"\+?\d(?:[\s()/.-]{0,2}\d){5,}"), "[number]"),
)


class TracedConstraint(TypedDict):
    """A constraint that held in the turn: its id in the user's ledger, and what it is about in a few words."""

    id: str
    about: str


class Trace(TypedDict):
    """One finished `recommend` turn.

    `user` tells users apart and is not copied into rows. `consent` is true if the user agreed that this turn is used
    for training. `rejected` are titles of the offer that the user turned down.
    """

    user: str
    consent: bool
    request: str
    constraints: list[TracedConstraint]
    offer: Offer
    rejected: NotRequired[list[str]]


def add_traces(rows: RowSet, path: Path, *, seed: int) -> RowSet:
    """Return rows with those of a file of traces added.

    A turn of a user who did not consent refuses the whole file. A turn that offered nothing suitable gives no row. If
    rows are split by user, so are these users; if by film, all of them go to the training split.
    """
    traces: list[Trace] = read_lines(path, TypeAdapter(Trace))
    if not traces:
        raise TrainingError(f"{path} holds no finished turn: expected one per line")
    for number, trace in enumerate(traces, start=1):
        if not trace["consent"]:
            raise TrainingError(f"{path}, turn {number}: the user has not consented, so nothing of this file is used")
    pseudonyms = {user: f"trace-{number}" for number, user in enumerate(dict.fromkeys(t["user"] for t in traces), 1)}
    splits: dict[str, Split] = dict.fromkeys(pseudonyms.values(), "train")
    if rows.split_by == "user":
        splits = split_users(pseudonyms.values(), seed)
    catalogue = _with_traced_items(rows.catalogue, traces, pseudonyms)
    recorded = {constraint for item in catalogue for constraint in item["unsafe"]}
    made: defaultdict[Split, list[Row]] = defaultdict(list)
    for number, trace in enumerate(traces, start=1):
        user = pseudonyms[trace["user"]]
        row = _row(trace, f"{user}/{number}", user, splits[user], recorded)
        if row is not None:
            made[splits[user]].append(row)
    together = RowSet(rows.train + made["train"], rows.test + made["test"], catalogue, rows.split_by)
    check_splits(together)
    return together


def redact(text: str) -> str:
    """Take links, e-mail addresses, account names and long numbers out of a text. Names of people stay."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


def _row(trace: Trace, name: str, user: str, split: Split, recorded: set[str]) -> Row | None:
    rejected = {key(title) for title in trace.get("rejected", [])}
    wanted = [item for item in trace["offer"].items if key(item["title"]) not in rejected][:MOST_ITEMS]
    if not wanted:
        return None
    bounds = [f"I have to avoid this: {redact(constraint['about'])}" for constraint in trace["constraints"]]
    constraints = [_constraint(user, constraint["id"]) for constraint in trace["constraints"]]
    return {
        "id": name,
        "user": user,
        "split": split,
        "prompt": chat_prompt([*bounds, redact(trace["request"])], [], len(wanted)),
        "completion": [{"role": "assistant", "content": "\n".join(item_line(*_title(item)) for item in wanted)}],
        # A constraint that no item of the catalogue violates cannot be measured.
        "constraints": [constraint for constraint in constraints if constraint in recorded],
        "relevant": [_named(item) for item in wanted],
        "seen": [],
        "k": len(wanted),
        "items": sorted({item_key(*_title(item)) for item in wanted}),
    }


def _with_traced_items(
    catalogue: Sequence[CatalogueRow], traces: Sequence[Trace], pseudonyms: dict[str, str]
) -> list[CatalogueRow]:
    """Add the items that turns offered or withheld. What was withheld violates that user's constraint."""
    merged: list[CatalogueRow] = [{**row, "unsafe": list(row["unsafe"])} for row in catalogue]
    places = {(key(row["title"]), row["year"]): place for place, row in reversed(list(enumerate(merged)))}

    def place_of(item: Item) -> int:
        identity = (key(item["title"]), item["year"])
        if identity not in places:
            places[identity] = len(merged)
            merged.append({"title": item["title"], "year": item["year"], "unsafe": []})
        return places[identity]

    for trace in traces:
        for item in trace["offer"].items:
            place_of(item)
        for verdict in trace["offer"].withheld:
            if verdict["finding"] != "touches":
                continue
            violated = _constraint(pseudonyms[trace["user"]], verdict["constraint"])
            unsafe = merged[place_of(verdict["item"])]["unsafe"]
            if violated not in unsafe:
                unsafe.append(violated)
    return merged


def _constraint(user: str, constraint: str) -> str:
    """Ids are unique within one user's ledger only."""
    return f"{user}:{constraint}"


def _title(item: Item) -> tuple[str, int | None]:
    return item["title"], item["year"]


def _named(item: Item) -> NamedItem:
    return {"title": item["title"], "year": item["year"]}
