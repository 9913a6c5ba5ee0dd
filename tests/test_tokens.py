"""Tokens are counted one way, and no cut text is longer than asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_graph.state.text import sanitize
from mirror_graph.state.tokens import count_tokens, truncate_at_sentence, truncate_middle

texts = st.one_of(st.text(), st.text("añ中😀 .!\n"), st.integers(0, 400).map(lambda n: "A sentence. " * n))


@given(texts, st.integers(0, 60))
def test_a_cut_text_fits(text: str, tokens: int) -> None:
    assert count_tokens(truncate_middle(text, tokens)) <= tokens
    assert count_tokens(truncate_at_sentence(text, tokens)) <= tokens


@given(texts)
def test_a_text_that_fits_is_left_alone(text: str) -> None:
    assert truncate_middle(text, count_tokens(text)) == text
    assert truncate_at_sentence(text, count_tokens(text)) == text


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("One is here. Two is here. Three.", 5, "One is here."),
        ("第一句。第二句。第三句。", 7, "第一句。第二句。"),
        ("no sentence ends in here", 3, "no sentence"),
        ("unbroken" * 9, 2, "unbroken"),
    ],
)
def test_a_text_is_cut_after_a_whole_sentence(text: str, tokens: int, expected: str) -> None:
    assert truncate_at_sentence(text, tokens) == expected


@given(st.text(st.characters()))
def test_clean_text_can_be_sent_anywhere_and_is_clean_already(text: str) -> None:
    cleaned = sanitize(text)
    cleaned.encode("utf-8")
    assert sanitize(cleaned) == cleaned


def test_line_breaks_and_languages_survive_cleaning() -> None:
    assert sanitize("a\r\nb\tc\x00 ñ 中文 😀 é \ud800") == "a\nb\tc ñ 中文 😀 é \ufffd"
