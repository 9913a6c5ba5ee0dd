"""The evaluation of relevance measures every strategy on cases of our own."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.relevance import measure
from mirror_graph.models import register_script
from tests.word_vectors import WordVectors, serve_word_vectors


@pytest.fixture
def word_vectors(monkeypatch: pytest.MonkeyPatch) -> Iterator[WordVectors]:
    with serve_word_vectors(monkeypatch) as server:
        yield server


def test_every_strategy_is_measured() -> None:
    def script(messages: Any) -> str:
        return '{"touched": [1]}' if "touched" in messages[-1].text else '{"things": ["satay"]}'

    register_script("deciding", script)
    cases = files("mirror_graph.evals.curate.own").joinpath("cases.jsonl")
    report = measure(str(cases), "scripted:deciding", "relations,anticipate,check", 12, 1, None)
    figures = report.tables["question_group_biased"]
    assert {arm.partition(",")[0] for arm in figures} == {"relations", "anticipate", "check"}
    assert all(found["recall %"] == 100 for arm, found in figures.items() if arm.startswith("check"))
    for found in report.tables["First messages that tell of a danger, as the scanner hears them"].values():
        assert 2 * found["stated alone, touched %"] < 70 < found["with the request, touched %"]
    assert len(report.aims) == 4


def test_an_embeddings_model_is_measured(word_vectors: WordVectors) -> None:
    cases = files("mirror_graph.evals.curate.own").joinpath("cases.jsonl")
    report = measure(str(cases), "scripted:nobody", "relations,embeddings", 12, 1, None, "openai:measured")
    figures = report.tables["question_group_biased"]
    for half in ("A", "B"):
        assert figures[f"embeddings, {half}"]["recall %"] >= figures[f"relations, {half}"]["recall %"]
        assert "failed %" not in figures[f"embeddings, {half}"]
    assert len(word_vectors.asked) > 12
    with pytest.raises(ConfigurationError, match="--embeddings"):
        measure(str(cases), "scripted:nobody", "embeddings", 12, 1, None)
