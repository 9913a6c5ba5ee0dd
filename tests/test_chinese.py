"""Chinese in its two scripts: what is found in one is found in the other."""

import re

import pytest

from mirror_graph import relevant, scan
from mirror_graph.ledger.chinese import in_both_scripts, simplified


@pytest.mark.parametrize("text", ["我對堅果嚴重過敏", "peanuts", "", "漢字とかな", "頭髮與發燒"])
def test_a_text_has_as_many_characters_in_the_other_script(text: str) -> None:
    assert len(simplified(text)) == len(text)
    assert simplified(simplified(text)) == simplified(text)


def test_a_pattern_fits_both_scripts_and_keeps_its_classes() -> None:
    pattern = re.compile(in_both_scripts({"says": ["对(?P<about>[^过]{1,2})过敏"]})["says"][0])
    assert pattern.fullmatch("对花生过敏")
    assert pattern.fullmatch("對花生過敏")
    assert not pattern.fullmatch("對過過敏")


@pytest.mark.parametrize(
    ("stated", "asked"),
    [
        ("我对虾过敏。", "今晚想吃小龙虾,推荐一家"),
        ("我對蝦過敏。", "今晚想吃小龍蝦,推薦一家"),
        ("我有恐高症。", "想去蹦极"),
        ("我有懼高症,站到陽台腿就軟。", "想去玻璃棧道"),
        ("腰椎間盤突出開過刀。", "幫我搬家,怎麼扛沙發"),
    ],
)
def test_a_danger_is_found_and_touched_in_either_script(stated: str, asked: str) -> None:
    found = scan(stated)
    assert found
    assert relevant(found, asked)
    assert not relevant(found, "怎麼練字比較快")
