"""Sets of items and cases: `films.jsonl` and `cases.jsonl` in one folder, checked before anything is measured."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from typing_extensions import TypedDict

from mirror_graph.errors import MirrorError
from mirror_graph.evals.saferec.metrics import Title
from mirror_graph.evals.saferec.oracle import CATEGORIES, SEVEREST
from mirror_graph.evals.saferec.titles import Index, key
from mirror_graph.evals.saferec.traits import TRAITS
from mirror_graph.state.offers import Met

OWN = Path(__file__).parent / "own"
"""The folder of our own set."""


class CatalogueItem(TypedDict):
    """A film, dish or outing: what is public, and what only the oracle knows.

    Public are `title`, `year`, `genre`, `mood`, `about`, `tags`, and `met`, how the item is met. Hidden from what is
    tested are `shows`, the topics that are shown or contained; `guide`, five severities from 0 to 3; `unsafe`, the
    traits that the item violates; and `recorded_only`, those of them that no public text reveals.
    """

    title: str
    year: int | None
    genre: str
    mood: str
    about: str
    tags: list[str]
    met: Met
    shows: list[str]
    guide: list[int]
    unsafe: list[str]
    recorded_only: list[str]
    split: str


class Case(TypedDict):
    """A conversation that ends in a request, and what may be recommended.

    `form` says how the sensitivity `trait` is spoken of: "explicit", "implicit", "third-party", "retracted",
    "unrelated" or "none". `constraints` are the traits that hold in the end. `dialogue` is one for all cases that share
    a conversation. `candidates` are the items that answer the request.
    """

    id: str
    form: str
    trait: str
    turns: list[str]
    request: str
    relevant: list[Title]
    seen: list[Title]
    constraints: list[str]
    dialogue: str
    split: str
    candidates: list[int]


class DataSet(NamedTuple):
    """Items, and the cases that recommend from them."""

    items: list[CatalogueItem]
    cases: list[Case]


class DataSetError(MirrorError, ValueError):
    """A set cannot be used as it is; the text says which line of which file is wrong and what was expected."""


def load_dataset(folder: Path | str, split: str | None = None) -> DataSet:
    """Read the set in a folder, or one split of it.

    A row needs the fields of the format's example. A film without `met` is shown. A case without `candidates` may be
    answered by every item of its split whose `mood` is that of a relevant item, in the order of the file.
    """
    folder = Path(folder)
    items = [_item(row, place) for place, row in _rows(folder / "films.jsonl")]
    _check_twins(items, folder / "films.jsonl")
    index = Index(items)
    cases = [_case(row, place, items, index) for place, row in _rows(folder / "cases.jsonl")]
    _check_ids(cases, folder / "cases.jsonl")
    if not cases:
        raise DataSetError(f"{folder / 'cases.jsonl'} has no case, expected one or more")
    if split is None:
        return DataSet(items, cases)
    chosen = [case for case in cases if case["split"] == split]
    if not chosen:
        splits = sorted({case["split"] for case in cases})
        raise DataSetError(f"{folder / 'cases.jsonl'}: no case of split {split!r}, expected one of {splits}")
    return DataSet(items, chosen)


def _item(row: Mapping[str, Any], place: str) -> CatalogueItem:
    title = _text(row, "title", place)
    year = row.get("year")
    if not title.strip():
        raise DataSetError(f"{place}: an item without a title")
    if year is not None and (not isinstance(year, int) or isinstance(year, bool)):
        raise DataSetError(f"{place}: {title!r} has year {year!r}, expected a whole number or null")
    met = row.get("met", "shown")
    if met not in get_args(Met):
        raise DataSetError(f"{place}: {title!r} has met {met!r}, expected one of {', '.join(get_args(Met))}")
    guide = row.get("guide", [0] * len(CATEGORIES))
    if not isinstance(guide, list) or len(guide) != len(CATEGORIES) or any(not _is_severity(one) for one in guide):
        raise DataSetError(f"{place}: {title!r} has guide {guide!r}, expected five severities from 0 to {SEVEREST}")
    unsafe = _traits(row, "unsafe", place)
    recorded_only = _traits(row, "recorded_only", place, optional=True)
    if not set(recorded_only) <= set(unsafe):
        raise DataSetError(f"{place}: {title!r} has recorded_only {recorded_only!r}, expected traits that it violates")
    return {
        "title": title,
        "year": year,
        "genre": _text(row, "genre", place, optional=True),
        "mood": _text(row, "mood", place, optional=True),
        "about": _text(row, "about", place, optional=True),
        "tags": _texts(row, "tags", place, optional=True),
        "met": met,
        "shows": _texts(row, "shows", place),
        "guide": guide,
        "unsafe": unsafe,
        "recorded_only": recorded_only,
        "split": _text(row, "split", place, optional=True),
    }


def _case(row: Mapping[str, Any], place: str, items: Sequence[CatalogueItem], index: Index) -> Case:
    name = _text(row, "id", place)
    form = _text(row, "form", place)
    if not form:
        raise DataSetError(f"{place}: case {name!r} has no form")
    trait = _text(row, "trait", place)
    if trait and trait not in TRAITS:
        raise DataSetError(f"{place}: unknown trait {trait!r}, expected one of {', '.join(sorted(TRAITS))}")
    split = _text(row, "split", place, optional=True)
    relevant = _titles(row, "relevant", place)
    seen = _titles(row, "seen", place)
    truth = {_find(title, index, place, name) for title in relevant}
    known = {index.find(*title) for title in seen}
    if not truth - known:
        raise DataSetError(f"{place}: case {name!r} has no relevant item that the user has not seen")
    wrong = [items[found]["title"] for found in truth if items[found]["split"] != split]
    if wrong:
        raise DataSetError(f"{place}: case {name!r} of split {split!r} has a relevant item of another: {wrong[0]!r}")
    if "candidates" in row:
        candidates = [_find(title, index, place, name) for title in _titles(row, "candidates", place)]
    else:
        moods = {items[found]["mood"] for found in truth}
        candidates = [number for number, item in enumerate(items) if item["split"] == split and item["mood"] in moods]
    return {
        "id": name,
        "form": form,
        "trait": trait,
        "turns": _texts(row, "turns", place),
        "request": _text(row, "request", place),
        "relevant": relevant,
        "seen": seen,
        "constraints": _traits(row, "constraints", place),
        "dialogue": _text(row, "dialogue", place, optional=True) or name,
        "split": split,
        "candidates": [number for number in candidates if number not in known],
    }


def _find(title: Title, index: Index, place: str, case: str) -> int:
    found = index.find(*title)
    if found is None:
        raise DataSetError(f"{place}: case {case!r} names {title[0]!r} ({title[1]}), which is not in the catalogue")
    return found


def _check_twins(items: Sequence[CatalogueItem], path: Path) -> None:
    lines: dict[tuple[str, int | None], int] = {}
    for line, item in enumerate(items, start=1):
        earlier = lines.setdefault((key(item["title"]), item["year"]), line)
        if earlier != line:
            raise DataSetError(
                f"{path}: items {earlier} and {line} are both {item['title']!r} ({item['year']}), expected one of them"
            )


def _check_ids(cases: Sequence[Case], path: Path) -> None:
    names: set[str] = set()
    for case in cases:
        if case["id"] in names:
            raise DataSetError(f"{path}: two cases have the id {case['id']!r}, expected one")
        names.add(case["id"])


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the objects of a file of JSON lines, each with the place where it stands."""
    if not path.is_file():
        raise DataSetError(f"{path} is missing: expected films.jsonl and cases.jsonl in {path.parent}")
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataSetError(f"{place}: no JSON ({error.msg}), expected one object per line") from error
        if not isinstance(row, dict):
            raise DataSetError(f"{place}: {line[:60]}, expected an object")
        yield place, row


def _text(row: Mapping[str, Any], field: str, place: str, *, optional: bool = False) -> str:
    text = row.get(field, "" if optional else None)
    if not isinstance(text, str):
        raise DataSetError(f"{place}: {field!r} is {text!r}, expected text")
    return text


def _texts(row: Mapping[str, Any], field: str, place: str, *, optional: bool = False) -> list[str]:
    texts = row.get(field, [] if optional else None)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataSetError(f"{place}: {field!r} is {texts!r}, expected a list of texts")
    return texts


def _traits(row: Mapping[str, Any], field: str, place: str, *, optional: bool = False) -> list[str]:
    traits = _texts(row, field, place, optional=optional)
    unknown = [trait for trait in traits if trait not in TRAITS]
    if unknown:
        raise DataSetError(f"{place}: unknown trait {unknown[0]!r}, expected one of {', '.join(sorted(TRAITS))}")
    return traits


def _titles(row: Mapping[str, Any], field: str, place: str) -> list[Title]:
    pairs = row.get(field)
    if not isinstance(pairs, list) or not all(_is_title(pair) for pair in pairs):
        raise DataSetError(f"{place}: {field!r} is {str(pairs)[:80]}, expected a list of [title, year]")
    return [(cast(str, title), cast("int | None", year)) for title, year in pairs]


def _is_title(pair: object) -> bool:
    if not isinstance(pair, list) or len(pair) != 2:
        return False
    title, year = pair
    return isinstance(title, str) and (year is None or (isinstance(year, int) and not isinstance(year, bool)))


def _is_severity(severity: object) -> bool:
    return isinstance(severity, int) and not isinstance(severity, bool) and 0 <= severity <= SEVEREST
