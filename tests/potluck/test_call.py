from __future__ import annotations

from pathlib import Path

import pytest

from federation.errors import Refused
from potluck.call import parse_arguments


def test_a_value_that_is_json_is_that_and_any_other_is_text() -> None:
    given = ["rounds=5", "rate=0.1", "start=true", "name=digits", "inputs=[[1, 2]]", "none=null", "text=a=b", "empty="]
    assert parse_arguments(given) == {
        "rounds": 5,
        "rate": 0.1,
        "start": True,
        "name": "digits",
        "inputs": [[1, 2]],
        "none": None,
        "text": "a=b",
        "empty": "",
    }


def test_a_value_in_json_quotes_stays_text() -> None:
    assert parse_arguments(['version="5"']) == {"version": "5"}


@pytest.mark.parametrize(("name", "text"), [("spec.json", '{"rounds": 3}'), ("spec.yaml", "rounds: 3\n")])
def test_a_value_is_read_from_a_json_or_yaml_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert parse_arguments([f"spec=@{tmp_path / name}"]) == {"spec": {"rounds": 3}}


def test_two_at_signs_are_a_text_that_begins_with_one() -> None:
    assert parse_arguments(["label=@@home"]) == {"label": "@home"}


@pytest.mark.parametrize("pair", ["rounds", "=5", "spec=@/nowhere/spec.yaml"])
def test_what_is_no_argument_is_refused_with_the_mend(pair: str) -> None:
    with pytest.raises(Refused, match="Mend"):
        parse_arguments([pair])


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(Refused, match="given twice"):
        parse_arguments(["a=1", "a=2"])


def test_a_file_that_is_not_yaml_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("a: [1,\nb: }")
    with pytest.raises(Refused) as caught:
        parse_arguments([f"spec=@{path}"])
    assert "\n" not in str(caught.value)
