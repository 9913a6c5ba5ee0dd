"""Chat rows for training: a conversation that holds a constraint, and a list that respects it.

A folder of rows holds `train.jsonl`, `test.jsonl`, `catalogue.jsonl`, in which rewards look items up, and `rows.json`,
which says how the rows were made. The two splits never share a user, nor an item if they are split by film.
"""

import json
import random
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from mirror_graph.evals.saferec.dataset import Case, CatalogueItem, DataSet
from mirror_graph.evals.saferec.metrics import Title
from mirror_graph.evals.saferec.titles import Index, key
from mirror_graph.evals.saferec.traits import TRAITS
from mirror_graph.state.offers import check_count
from mirror_graph.training.errors import TrainingError

SplitBy = Literal["film", "user"]
Split = Literal["train", "test"]

TEST_SHARE = 0.2
"""The share of users whose rows are test rows, if rows are split by user."""

VIOLATING_SHARE = 1 / 3
"""At most this share of the candidates in a prompt are unsuitable, so that a list of suitable ones exists."""

_INSTRUCTION = (
    "You recommend items. Reply with exactly {k}, one per line, as `Title (year)`, and nothing else. "
    "Never recommend what the user cannot bear."
)


class Message(TypedDict):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class NamedItem(TypedDict):
    """An item as lists and truths name it."""

    title: str
    year: int | None


class CatalogueRow(NamedItem):
    """An item, and the constraints that it violates."""

    unsafe: list[str]


class Row(TypedDict):
    """One request, and a list that answers it.

    `user` is whoever must stay in one split. `prompt` ends with the request, and `completion` is a list of suitable
    items. `relevant` are all suitable items, `seen` those that the user knows already, and `k` is how many are asked
    for. `items` identifies every item that the row shows or wants.
    """

    id: str
    user: str
    split: Split
    prompt: list[Message]
    completion: list[Message]
    constraints: list[str]
    relevant: list[NamedItem]
    seen: list[NamedItem]
    k: int
    items: list[str]


class RowSet(NamedTuple):
    """Rows of both splits, and the catalogue that they are about."""

    train: list[Row]
    test: list[Row]
    catalogue: list[CatalogueRow]
    split_by: SplitBy


def make_rows(dataset: DataSet, *, k: int, candidates: int, draws: int, split_by: SplitBy, seed: int) -> RowSet:
    """Make rows from the cases of a set.

    A prompt lists `candidates` items to choose from; with 0 it lists none, and the model must know them. Each training
    case gives `draws` rows, with other candidates and targets; each test case gives one. Split by `film`, rows keep the
    split of their case, which shares no item with the other. Split by `user`, the set's test cases are left out and a
    fifth of the other users become the test split. A case that has no suitable item gives no row.
    """
    check_count(k)
    if candidates < 0 or draws < 1:
        raise TrainingError(f"candidates {candidates} and draws {draws}: expected 0 or more, and 1 or more")
    cases = dataset.cases if split_by == "film" else [case for case in dataset.cases if case["split"] != "test"]
    if split_by == "film":
        splits = {case["dialogue"]: _split_of(case) for case in cases}
    else:
        splits = split_users((case["dialogue"] for case in cases), seed)
    rows: dict[Split, list[Row]] = {"train": [], "test": []}
    for case in cases:
        split = splits[case["dialogue"]]
        for draw in range(draws if split == "train" else 1):
            generator = random.Random(f"{seed}:{case['id']}:{draw}")
            row = _case_row(case, dataset.items, split, draw, k=k, candidates=candidates, generator=generator)
            if row is not None:
                rows[split].append(row)
    catalogue: list[CatalogueRow] = [
        {"title": item["title"], "year": item["year"], "unsafe": item["unsafe"]} for item in dataset.items
    ]
    made = RowSet(rows["train"], rows["test"], catalogue, split_by)
    check_splits(made)
    return made


def split_users(users: Iterable[str], seed: int) -> dict[str, Split]:
    """Return the split of every user: a fifth of them, and at least one, are for the test."""
    ordered = sorted(set(users))
    if len(ordered) < 2:
        raise TrainingError(f"{len(ordered)} users: expected at least 2, so that training and test share none")
    random.Random(seed).shuffle(ordered)
    tested = max(1, round(TEST_SHARE * len(ordered)))
    return {user: "test" if place < tested else "train" for place, user in enumerate(ordered)}


def check_splits(rows: RowSet) -> None:
    """Raise `TrainingError` unless both splits have rows and share no user, nor an item if split by film."""
    by_split: dict[Split, list[Row]] = {"train": rows.train, "test": rows.test}
    for split, those in by_split.items():
        if not those:
            raise TrainingError(f"no row in the {split} split: expected at least one in each")
        strays = [row["id"] for row in those if row["split"] != split]
        if strays:
            raise TrainingError(f"row {strays[0]!r} in the {split} split is not marked {split!r}: rows are mixed up")
    shared_users = {row["user"] for row in rows.train} & {row["user"] for row in rows.test}
    if shared_users:
        raise TrainingError(f"user {min(shared_users)!r} is in both splits: rows mix train and test")
    if rows.split_by == "film":
        shared_items = _items_of(rows.train) & _items_of(rows.test)
        if shared_items:
            raise TrainingError(f"item {min(shared_items)!r} is in both splits: rows mix train and test")


def save_rows(rows: RowSet, folder: Path, manifest: dict[str, Any]) -> None:
    """Write rows to a new folder, all of them or none."""
    if folder.exists():
        raise TrainingError(f"{folder} exists already: expected a new folder for the rows")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        unfinished = Path(temporary) / "rows"
        unfinished.mkdir()
        _write_lines(unfinished / "train.jsonl", rows.train)
        _write_lines(unfinished / "test.jsonl", rows.test)
        _write_lines(unfinished / "catalogue.jsonl", rows.catalogue)
        counts = {"train": len(rows.train), "test": len(rows.test), "split_by": rows.split_by}
        (unfinished / "rows.json").write_text(json.dumps({**manifest, **counts}, indent=2) + "\n", "utf-8")
        unfinished.rename(folder)


def load_rows(folder: Path) -> RowSet:
    """Read a folder of rows. `TrainingError` says which line is wrong, or what the two splits share."""
    if not (folder / "rows.json").is_file():
        raise TrainingError(f"{folder} holds no rows.json: expected a folder made by `mirror train rows`")
    split_by = _read_manifest(folder / "rows.json").get("split_by")
    if split_by not in ("film", "user"):
        raise TrainingError(f"{folder / 'rows.json'} has split_by {split_by!r}: expected 'film' or 'user'")
    catalogue = read_lines(folder / "catalogue.jsonl", TypeAdapter(CatalogueRow))
    rows = RowSet(
        read_lines(folder / "train.jsonl", TypeAdapter(Row)),
        read_lines(folder / "test.jsonl", TypeAdapter(Row)),
        catalogue,
        split_by,
    )
    index = Index(catalogue)
    known = {*TRAITS, *(constraint for item in catalogue for constraint in item["unsafe"])}
    for row in (*rows.train, *rows.test):
        _check_row(row, index, known)
    check_splits(rows)
    return rows


def read_lines(path: Path, adapter: TypeAdapter[Any]) -> list[Any]:
    """Read a file of JSON lines, each checked against a type."""
    if not path.is_file():
        raise TrainingError(f"{path} is missing: expected a file of JSON lines, as docs/training.md describes it")
    read = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            read.append(adapter.validate_json(line, strict=True))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "the line"
            raise TrainingError(f"{path}, line {number}: {field}: {first['msg']}") from error
    return read


def chat_prompt(messages: Sequence[str], candidates: Sequence[str], k: int) -> list[Message]:
    """Return the prompt of a row: what the user wrote, ending with the request, and what may be chosen from."""
    written = "\n".join(messages)
    if candidates:
        written += "\n\nChoose from:\n" + "\n".join(candidates)
    return [
        {"role": "system", "content": _INSTRUCTION.format(k=k)},
        {"role": "user", "content": written},
    ]


def item_line(title: str, year: int | None) -> str:
    """Return how a list names an item, in one line."""
    return title if year is None else f"{title} ({year})"


def item_key(title: str, year: int | None) -> str:
    """Return what identifies an item when splits are compared."""
    return key(item_line(title, year))


def _case_row(
    case: Case,
    items: Sequence[CatalogueItem],
    split: Split,
    draw: int,
    *,
    k: int,
    candidates: int,
    generator: random.Random,
) -> Row | None:
    constraints = set(case["constraints"])
    index = Index(items)
    seen = {index.find(*title) for title in case["seen"]}
    relevant = [index.find(*title) for title in case["relevant"]]
    # A truth may violate, as a set of what people really watched does. What violates is never a target.
    suitable = [
        number
        for number in dict.fromkeys(relevant)
        if number is not None and number not in seen and constraints.isdisjoint(items[number]["unsafe"])
    ]
    if not suitable:
        return None
    shown: list[int] = []
    if candidates:
        unsuitable = [number for number in case["candidates"] if number not in suitable]
        unsuitable = generator.sample(unsuitable, min(len(unsuitable), int(candidates * VIOLATING_SHARE)))
        suitable = generator.sample(suitable, min(len(suitable), candidates - len(unsuitable)))
        shown = [*suitable, *unsuitable]
        generator.shuffle(shown)
        suitable = [number for number in shown if number in suitable]
    # If fewer items are suitable than were asked for, the row asks for fewer: a list is never padded.
    wanted = min(k, len(suitable))
    targets = suitable[:wanted] if shown else generator.sample(suitable, wanted)
    listed = "\n".join(item_line(*_title(items[number])) for number in targets)
    return {
        "id": f"{case['id']}#{draw}",
        "user": case["dialogue"],
        "split": split,
        "prompt": chat_prompt(
            [*case["turns"], case["request"]], [_described(items[number]) for number in shown], wanted
        ),
        "completion": [{"role": "assistant", "content": listed}],
        "constraints": list(case["constraints"]),
        "relevant": [_named(_title(items[number])) for number in suitable],
        "seen": [_named(title) for title in case["seen"]],
        "k": wanted,
        "items": sorted({item_key(*_title(items[number])) for number in (*suitable, *shown)}),
    }


def _split_of(case: Case) -> Split:
    if case["split"] == "train":
        return "train"
    if case["split"] == "test":
        return "test"
    raise TrainingError(
        f"case {case['id']!r} has split {case['split']!r}: expected 'train' or 'test'. Split by user if a set has none."
    )


def _check_row(row: Row, index: Index, known: set[str]) -> None:
    check_count(row["k"])
    if not row["prompt"] or row["prompt"][-1]["role"] != "user":
        raise TrainingError(f"row {row['id']!r}: expected a prompt that ends with a message of the user's")
    if [message["role"] for message in row["completion"]] != ["assistant"]:
        raise TrainingError(f"row {row['id']!r}: expected a completion of one message of the assistant's")
    unknown = set(row["constraints"]) - known
    if unknown:
        raise TrainingError(f"row {row['id']!r}: unknown constraint {min(unknown)!r}, which nothing would violate")
    relevant = {item_line(**item): index.find(**item) for item in row["relevant"]}
    missing = [line for line, found in relevant.items() if found is None]
    if missing:
        raise TrainingError(f"row {row['id']!r}: {missing[0]!r} is not in the catalogue")
    if not set(relevant.values()) - {index.find(**item) for item in row["seen"]}:
        raise TrainingError(f"row {row['id']!r}: expected a relevant item that the user has not seen")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise TrainingError(f"{path}: no JSON ({error.msg})") from error
    if not isinstance(manifest, dict):
        raise TrainingError(f"{path}: expected an object")
    return manifest


def _write_lines(path: Path, rows: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _items_of(rows: Sequence[Row]) -> set[str]:
    return {item for row in rows for item in row["items"]}


def _described(item: CatalogueItem) -> str:
    line = f"- {item_line(*_title(item))}"
    return f"{line}: {item['about']}" if item["about"] else line


def _title(item: CatalogueItem) -> Title:
    return item["title"], item["year"]


def _named(title: Title) -> NamedItem:
    return {"title": title[0], "year": title[1]}
