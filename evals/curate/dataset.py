"""The cases: a user's constraint, other people's wishes, and requests that touch it. Ours, or anyone's copy."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate.upstream import fetched

Category = Literal["allergy", "phobia", "trauma", "physical"]

DEVELOPMENT_FOLDER = "../shared/data/curate"
"""Where a checkout looks for a copy of CURATe before the fetched one, unless MIRROR_CURATE_DIR names a folder."""


@dataclass(frozen=True)
class Case:
    """One user: the constraint they tell, what others wish, and four wordings of a request that touches it.

    `terms` are word stems that name the constraint in a reply.
    """

    id: str
    language: str
    category: Category
    constraint: str
    person_b: str
    person_c: str
    person_d: str
    question_user: str
    question_user_biased: str
    question_group: str
    question_group_biased: str
    terms: tuple[str, ...]
    unrelated: str
    """A constraint that the request does not touch."""


@dataclass(frozen=True)
class Pool:
    """What fills a conversation, by language: harmless facts, trivia questions, other people's preferences."""

    facts: Mapping[str, tuple[str, ...]]
    trivia: Mapping[str, tuple[str, ...]]
    preferences: Mapping[str, tuple[str, ...]]


def read_cases(path: str | Path | None = None) -> list[Case]:
    """Read our own cases or, from a CSV, JSONL or XLSX file, anyone's; `"curate"` is a copy of CURATe.

    Raises `ConfigurationError` for a file or a column that is not there.
    """
    if path is None:
        return list(_ours())
    found = _curate_copy() if str(path) == "curate" else Path(path)
    if not found.is_file():
        raise ConfigurationError(f"no cases in {str(found)!r}: expected a CSV, JSONL or XLSX file")
    return _cases(read_table(found), found.stem)


def read_pool(path: str | Path | None = None) -> Pool:
    """Read our own pool; a file of cases brings its neighbours `facts*`, `trivia*` and `prefs*` where they exist."""
    own = [_by_language(_own(f"{name}.jsonl")) for name in ("facts", "trivia", "preferences")]
    if path is None:
        return Pool(*own)
    folder = (_curate_copy() if str(path) == "curate" else Path(path)).parent
    theirs = [_neighbour(folder, name) for name in ("facts", "trivia", "prefs")]
    return Pool(*({**mine, "en": found} if found else mine for mine, found in zip(own, theirs, strict=True)))


@cache
def read_phrases() -> dict[str, dict[str, str]]:
    """Read the turns around a case, by language: a case of any other language cannot be said."""
    text = files("mirror_graph.evals.curate.own").joinpath("phrases.json").read_text("utf-8")
    phrases: dict[str, dict[str, str]] = json.loads(text)
    return phrases


@cache
def _ours() -> tuple[Case, ...]:
    return tuple(_cases(_own("cases.jsonl"), "own"))


def _cases(rows: list[dict[str, Any]], source: str) -> list[Case]:
    if not rows:
        raise ConfigurationError(f"{source!r} holds no case")
    named = [{_column(key): value for key, value in row.items()} for row in rows]
    if missing := [column for column in _TEXTS if column not in named[0]]:
        raise ConfigurationError(f"{source!r} has no column {missing[0]!r}: expected {', '.join(_TEXTS)}")
    cases = [_case(row, f"{source}-{row.get('row', number)}") for number, row in enumerate(named)]
    if twice := [id for id, count in Counter(case.id for case in cases).items() if count > 1]:
        raise ConfigurationError(f"{source!r} has several cases {twice[0]!r}: expected another id for each")
    return [case if case.unrelated else _with_unrelated(case, cases) for case in cases]


def _case(row: Mapping[str, Any], id: str) -> Case:
    language = row.get("language") or "en"
    if language not in read_phrases():
        raise ConfigurationError(f"case {id!r} is in {language!r}: expected {', '.join(read_phrases())}")
    texts = {column: str(row.get(column) or "").strip() for column in _TEXTS}
    terms = row.get("terms") or _content_words(texts["constraint"])
    return Case(
        id=str(row.get("id") or id),
        language=language,
        terms=tuple(term for term in (re.split(r"[;|,]\s*", terms) if isinstance(terms, str) else terms) if term),
        unrelated=row.get("unrelated") or "",
        **{**texts, "category": _category(texts["category"])},  # type: ignore[arg-type]  # of a mapping, all one type
    )


def _with_unrelated(case: Case, cases: list[Case]) -> Case:
    """Give a case the constraint of another, or of one of ours: a phobia where it is an allergy, else an allergy.

    An allergy to a medicine where there is one: what one must not eat may well meet a request about something else.
    """
    kind = "phobia" if case.category == "allergy" else "allergy"
    said = (case.constraint, case.question_user_biased, case.question_group_biased, case.person_b, case.person_c)
    touched = set(_content_words(" ".join([*said, case.person_d])))
    theirs, ours = (
        [other.constraint for other in source if (other.category, other.language) == (kind, case.language)]
        for source in (cases, _ours())
    )
    for source in (
        [constraint for constraint in theirs + ours if any(name in constraint.lower() for name in _MEDICINES)],
        theirs,
        ours,
    ):
        if apart := [other for other in source if not touched & set(_content_words(other))]:
            return replace(case, unrelated=apart[sum(case.id.encode()) % len(apart)])
    raise ConfigurationError(f"case {case.id!r} needs an unrelated constraint: add a column 'unrelated'")


def _category(name: str) -> Category:
    for stem, category in _CATEGORIES.items():
        if stem in name.lower():
            return category
    raise ConfigurationError(f"unknown category {name!r}: expected {', '.join(_CATEGORIES.values())}")


def _column(header: str) -> str:
    return _UPSTREAM.get(header.strip().lower().replace("\u2019", "'"), header.strip())


def _content_words(text: str) -> list[str]:
    words = [word for word in re.findall(r"\w{4,}", text.lower()) if word not in _COMMON]
    return words or [text.lower()]


def _curate_copy() -> Path:
    named = os.environ.get("MIRROR_CURATE_DIR")
    folders = [Path(named)] if named else [Path(DEVELOPMENT_FOLDER), fetched()]
    for folder in folders:
        if found := sorted(folder.glob("inputs*")):
            return found[0]
    raise ConfigurationError(
        f"no CURATe cases{f' in {named!r}' if named else ''}: download them with `mirror eval fetch`, set "
        "MIRROR_CURATE_DIR to the folder of your copy's inputs.xlsx, or name your own cases with --inputs"
    )


def _neighbour(folder: Path, name: str) -> tuple[str, ...]:
    found = sorted(folder.glob(f"{name}*"))
    if not found:
        return ()
    texts = (str(next(iter(row.values()))) for row in read_table(found[0], header=found[0].suffix == ".csv"))
    return tuple(text.strip().strip('"') for text in texts)


def _by_language(rows: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    return {
        language: tuple(row["text"] for row in rows if row["language"] == language)
        for language in dict.fromkeys(row["language"] for row in rows)
    }


def _own(name: str) -> list[dict[str, Any]]:
    text = files("mirror_graph.evals.curate.own").joinpath(name).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def read_table(path: Path, header: bool = True) -> list[dict[str, Any]]:
    """Read the rows of a CSV, JSONL or XLSX file, by the names in its first row.

    Raises `ConfigurationError` for any other file, and for one that is broken or not UTF-8.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"cannot read {str(path)!r}: expected {', '.join(_READERS)}")
    try:
        rows = list(reader(path))
    except ConfigurationError:
        raise
    except Exception as error:  # each format has errors of its own
        raise ConfigurationError(f"cannot read {str(path)!r}: expected UTF-8 {path.suffix}; {error!r}") from error
    names, *rest = rows if rows and header else [["text"], *rows]
    return [dict(zip(map(str, names), row, strict=False)) for row in rest if any(row)]


def _csv_rows(path: Path) -> Iterator[list[Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.reader(file)


def _jsonl_rows(path: Path) -> Iterator[list[Any]]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    names = list(dict.fromkeys(key for row in rows for key in row))
    yield names
    yield from ([row.get(name) for name in names] for row in rows)


def _xlsx_rows(path: Path) -> Iterator[list[Any]]:
    try:
        openpyxl: Any = import_module("openpyxl")  # it ships no types
    except ImportError as error:
        raise ConfigurationError(f"{path.name} needs openpyxl: pip install 'mirror-graph[evals]'") from error
    with closing(openpyxl.load_workbook(path, read_only=True)) as book:
        for row in book.worksheets[0].iter_rows(values_only=True):
            yield ["" if value is None else value for value in row]


_READERS: dict[str, Callable[[Path], Iterator[list[Any]]]] = {
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
    ".xlsx": _xlsx_rows,
}
_TEXTS = (
    "category",
    "constraint",
    "person_b",
    "person_c",
    "person_d",
    "question_user",
    "question_user_biased",
    "question_group",
    "question_group_biased",
)
_UPSTREAM = {
    "user's hard constraint": "constraint",
    "person b's preferences": "person_b",
    "person c's strong preferences": "person_c",
    "person d's super strong preferences": "person_d",
    "question (user only)": "question_user",
    "biased question (user only)": "question_user_biased",
    "question (user and others)": "question_group",
    "biased question (user and others)": "question_group_biased",
    "category": "category",
}
_CATEGORIES: dict[str, Category] = {
    "allerg": "allergy",
    "phobia": "phobia",
    "trauma": "trauma",
    "physical": "physical",
}
_MEDICINES = ("penici", "pénici", "ibuprofen", "aspirin", "antibioti")
_COMMON = frozenset(
    """
    about afraid after allergic allergy because been being cannot condition ever every experience extreme extremely
    fear from have interest intense into just life more most only other overcoming overwhelming past phobia ptsd
    severe severely should suffer terrified than that their them there they think this threatening trauma very were
    what when which while will with would your
    """.split()  # noqa: SIM905  # a hundred quotes read worse
)
