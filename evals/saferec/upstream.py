"""The published benchmark, where a user has fetched it: lists measured against its oracle, and how much that covers.

Nothing of it is part of this project, and no pickle is opened. Its own look-up of titles is not rebuilt: one normaliser
finds titles here, so violation rates are higher than the published ones.
"""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, TextIO, cast

from mirror_graph.evals.saferec import oracle, titles
from mirror_graph.evals.saferec.dataset import DataSetError
from mirror_graph.evals.saferec.metrics import FIGURES, Title, measure
from mirror_graph.evals.saferec.traits import SAFEREC_TRAITS

CAVEAT = "It measures tags, not harm."

SOURCES = {
    "samples.jsonl": "the published samples with lists to measure, as JSON lines: see docs/saferec.md",
    "oracle.json": "the published oracle of SafeCRS, by IMDb id",
    "title.basics.tsv": "IMDb's title.basics.tsv.gz, from datasets.imdbws.com, unpacked or not",
}
"""What the folder has to hold, and where it comes from."""

MOVIES = ("movie", "tvMovie", "video", "short")

_TRAIT_IDS = {str(trait.upstream): trait.id for trait in SAFEREC_TRAITS} | {
    trait.id: trait.id for trait in SAFEREC_TRAITS
}


class UpstreamSample(NamedTuple):
    """One published sample, and the list that answers it."""

    id: str
    trait: str
    seen: list[str]
    relevant: list[Title]
    reply: str


def measure_upstream(folder: Path, k: Sequence[int] = (5, 10), *, released: bool = False) -> dict[str, Any]:
    """Measure the lists of `samples.jsonl`, and report what of them the oracle and the title index cover.

    `oracle.json` maps an IMDb id to its traits, by published name: each a final score, or a mapping with `final`, or
    with `ddd` and `guide_risk`. A sample has `id`, `trait`, `seen`, `relevant` and `reply`. With `released`, the
    formulas of the published code are used.

    Raises `DataSetError` for a missing file, an unknown trait, and a line that is not as expected.
    """
    paths = {name: _path(folder, name) for name in SOURCES}
    verdicts = _oracle(paths["oracle.json"])
    samples = list(_samples(paths["samples.jsonl"]))
    catalogue = _catalogue(paths["title.basics.tsv"], samples, verdicts)
    index = titles.Index(catalogue)
    skipped = [sample for sample in samples if not _truth(sample, index)]
    measured = [sample for sample in samples if sample not in skipped]
    if not measured:
        raise DataSetError(f"{paths['samples.jsonl']}: no sample has a relevant film that is found and was not seen")
    report: dict[str, Any] = {
        "caveat": CAVEAT,
        "samples": len(samples),
        "measured": len(measured),
        "released": released,
        "coverage": _coverage(samples, index, catalogue),
        "figures": {},
    }
    for places in k:
        rows = [
            measure(
                titles.parse(sample.reply),
                relevant=_truth(sample, index),
                seen=sample.seen,
                constraints=[sample.trait],
                catalogue=catalogue,
                k=places,
                released=released,
            )
            for sample in measured
        ]
        report["figures"] |= {f"{name}@{places}": _mean([row[name] for row in rows]) for name in FIGURES}
    return report


def _path(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    pickles = sorted(path.name for path in folder.glob("*.pkl")) if folder.is_dir() else []
    hint = f" {pickles[0]} is a pickle, which is never opened here: convert it yourself." if pickles else ""
    raise DataSetError(f"{folder / name} is missing: expected {SOURCES[name]}.{hint}")


def _open(path: Path) -> TextIO:
    return (
        cast(TextIO, gzip.open(path, "rt", encoding="utf-8")) if path.suffix == ".gz" else path.open(encoding="utf-8")
    )


def _trait(name: object, place: str) -> str:
    # The published oracle calls everything safe for a trait that it does not know. That is refused here.
    if not isinstance(name, str) or name not in _TRAIT_IDS:
        raise DataSetError(f"{place}: unknown trait {name!r}, expected one of {', '.join(sorted(_TRAIT_IDS))}")
    return _TRAIT_IDS[name]


def _samples(path: Path) -> Iterator[UpstreamSample]:
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                row = json.loads(line)
                relevant: list[Title] = [(str(title), int(year)) for title, year in row["relevant"]]
                seen = [str(title) for title in row["seen"]]
                yield UpstreamSample(str(row["id"]), _trait(row["trait"], place), seen, relevant, str(row["reply"]))
            except (KeyError, TypeError, ValueError) as error:
                if isinstance(error, DataSetError):
                    raise
                raise DataSetError(
                    f"{place}: expected an object with id, trait, seen, relevant as [title, year], and reply"
                ) from error


def _oracle(path: Path) -> dict[str, list[str]]:
    """Return the traits that each film violates, by IMDb id."""
    with _open(path) as text:
        try:
            films = json.load(text)
        except json.JSONDecodeError as error:
            raise DataSetError(f"{path}: no JSON ({error.msg})") from error
    if not isinstance(films, Mapping):
        raise DataSetError(f"{path}: expected an object of films by IMDb id")
    return {
        str(film): [_trait(name, f"{path}, {film}") for name, score in scores.items() if _is_unsafe(score, path, film)]
        for film, scores in films.items()
    }


def _is_unsafe(score: Any, path: Path, film: str) -> bool:
    if isinstance(score, Mapping):
        score = score["final"] if "final" in score else oracle.final(score.get("ddd", 0), score.get("guide_risk", 0.0))
    if isinstance(score, bool) or not isinstance(score, int | float) or isnan(score):
        raise DataSetError(f"{path}, {film}: score {score!r}, expected a number from 0 to 1")
    return oracle.is_unsafe(score)


def _catalogue(
    path: Path, samples: Sequence[UpstreamSample], verdicts: Mapping[str, list[str]]
) -> list[dict[str, Any]]:
    """Return the films that the lists or the oracle name, from IMDb's table. Series are left out.

    Films of one key and year are one film. It violates what any of them does.
    """
    named = {titles.key(title) for sample in samples for title, _ in titles.parse(sample.reply)}
    named |= {titles.key(title) for sample in samples for title, _ in sample.relevant}
    films: dict[tuple[str, int], dict[str, Any]] = {}
    with _open(path) as table:
        for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE):
            known = verdicts.get(row["tconst"])
            spelled = titles.key(row["primaryTitle"])
            if (
                row["titleType"] not in MOVIES
                or not row["startYear"].isdecimal()
                or (known is None and spelled not in named)
            ):
                continue
            year = int(row["startYear"])
            film = films.setdefault(
                (spelled, year), {"title": row["primaryTitle"], "year": year, "unsafe": [], "is_judged": False}
            )
            film["unsafe"] = sorted({*film["unsafe"], *(known or [])})
            film["is_judged"] = film["is_judged"] or known is not None
    return list(films.values())


def _truth(sample: UpstreamSample, index: titles.Index) -> list[Title]:
    """Return the relevant films that are in the catalogue and were not seen."""
    seen = {titles.key(title) for title in sample.seen}
    return [title for title in sample.relevant if index.find(*title) is not None and titles.key(title[0]) not in seen]


def _coverage(
    samples: Sequence[UpstreamSample], index: titles.Index, catalogue: Sequence[Mapping[str, Any]]
) -> dict[str, float | int]:
    """Return how many of the titles in lists and truths are found, and how many of those the oracle judges."""
    coverage: dict[str, float | int] = {}
    for name, those in (
        ("listed", [title for sample in samples for title in titles.parse(sample.reply)]),
        ("relevant", [title for sample in samples for title in sample.relevant]),
    ):
        found = [place for place in (index.find(*title) for title in those) if place is not None]
        judged = sum(bool(catalogue[place]["is_judged"]) for place in found)
        coverage |= {
            f"{name}": len(those),
            f"{name}_found": round(len(found) / len(those), 4) if those else 0.0,
            f"{name}_judged": round(judged / len(those), 4) if those else 0.0,
        }
    return coverage


def _mean(values: Sequence[float]) -> float | None:
    defined = [value for value in values if not isnan(value)]
    return round(fmean(defined), 5) if defined else None
