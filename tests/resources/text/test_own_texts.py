"""A node's own texts, and everything that is refused about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from federation.errors import ErrorCode, Refused
from resources.datasets.text import files
from resources.datasets.text.files import load_texts
from resources.datasets.text.rows import Chat, Completion, Labelled, Message, Text

CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]


def written(folder: Path, text: str | bytes, name: str = "mine.jsonl") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def lines(folder: Path, *rows: Any) -> Path:
    return written(folder, "".join(f"{json.dumps(row)}\n" for row in rows))


def refusal(path: Path, classes: int | None = None) -> str:
    with pytest.raises(Refused) as caught:
        load_texts(path, num_classes=classes)
    assert caught.value.code is ErrorCode.BAD_DATA
    assert str(path) in caught.value.problem
    assert caught.value.mend
    return caught.value.problem


def test_each_line_of_a_jsonl_file_is_a_text(tmp_path: Path) -> None:
    file = lines(tmp_path, {"text": "Ay, \u2028so."}, {"text": "No\nmore."})
    assert load_texts(file, num_classes=None) == (Text("Ay, \u2028so."), Text("No\nmore."))


def test_a_line_may_be_a_prompt_with_its_completion(tmp_path: Path) -> None:
    file = lines(tmp_path, {"completion": " 4", "prompt": "2+2="})
    assert load_texts(file, num_classes=None) == (Completion("2+2=", " 4"),)


def test_a_line_may_be_a_conversation(tmp_path: Path) -> None:
    messages = (Message("user", "Hi?"), Message("assistant", "Hello."))
    assert load_texts(lines(tmp_path, {"messages": CHAT}), num_classes=None) == (Chat(messages),)


def test_a_line_may_be_a_text_with_its_label(tmp_path: Path) -> None:
    file = lines(tmp_path, {"text": "good", "label": 1}, {"text": "bad", "label": 0})
    assert load_texts(file, num_classes=2) == (Labelled("good", 1), Labelled("bad", 0))


def test_a_byte_order_mark_windows_line_ends_and_a_missing_last_one_do_no_harm(tmp_path: Path) -> None:
    file = written(tmp_path, b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "\xc3\xa9"}')
    assert load_texts(file, num_classes=None) == (Text("a"), Text("é"))


def test_a_csv_file_has_the_same_columns(tmp_path: Path) -> None:
    file = written(tmp_path, 'label,text\r\n1,"so, so\nand so"\r\n0,"a ""b"""\r\n', "mine.csv")
    assert load_texts(file, num_classes=2) == (Labelled("so, so\nand so", 1), Labelled('a "b"', 0))
    file = written(tmp_path, "prompt,completion\nQ:, A\n", "mine.csv")
    assert load_texts(file, num_classes=None) == (Completion("Q:", " A"),)
    assert load_texts(written(tmp_path, "text\n7\n", "mine.csv"), num_classes=None) == (Text("7"),)


def test_blank_lines_part_the_texts_of_a_txt_file(tmp_path: Path) -> None:
    file = written(tmp_path, "\n\nTo be,\nor not.\n \t\n\n  Ay.\r\n\r\nNo.\n", "mine.txt")
    assert load_texts(file, num_classes=None) == (Text("To be,\nor not."), Text("  Ay."), Text("No."))


def test_a_folder_of_txt_files_is_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, text in (("b.txt", "three"), ("a.TXT", "one\n\ntwo"), (".hidden", "no")):
        written(tmp_path, text, name)
    assert load_texts(tmp_path, num_classes=None) == (Text("one"), Text("two"), Text("three"))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("", "line 2 is empty"),
        ("{", "line 2 is no JSON"),
        ("[" * 100_000, "line 2 is no JSON"),
        ('"a"', "line 2 is no JSON object"),
        ("{}", "line 2 has the fields (none)"),
        ('{"text": "a", "lable": 1}', "line 2 has the fields 'text', 'lable'"),
        ('{"prompt": "a"}', "line 2 has the fields 'prompt'"),
        ('{"text": 3}', "line 2: text is no text"),
        ('{"text": null}', "line 2: text is no text"),
        ('{"text": " \\n"}', "line 2: text is empty"),
        ('{"prompt": "", "completion": "a"}', "line 2: prompt is empty"),
        ('{"text": "a\\u0000b"}', "line 2: text holds null characters"),
        ('{"text": "a\\ud800"}', "line 2: text holds half of a character"),
        ('{"text": "a", "label": 1}', "line 2 has a label, and the task does not classify"),
        ('{"prompt": "a", "completion": "b"}', "line 2 is of another kind than the rows before it"),
        ('{"messages": []}', "line 2: messages is no list of turns"),
        ('{"messages": "a"}', "line 2: messages is no list of turns"),
        ('{"messages": [{"role": "user"}]}', "line 2, message 1 is no object with role and content alone"),
        ('{"messages": ["a"]}', "line 2, message 1 is no object"),
        ('{"messages": [{"role": "bot", "content": "a"}]}', "line 2, message 1 has the role 'bot'"),
        ('{"messages": [{"role": ["user"], "content": "a"}]}', "line 2, message 1 has the role \"['user']\""),
        ('{"messages": [{"role": "user", "content": ""}]}', "line 2, message 1: content is empty"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "line 2 has no assistant's turn"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path: Path, row: str, problem: str) -> None:
    file = written(tmp_path, '{"text": "good"}\n' + row + '\n{"text": "good"}\n')
    assert f"{file}, {problem}" in refusal(file)


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ("2", "line 1 has label 2."),
        ("-1", "line 1 has label -1."),
        ("1.0", "line 1 has the label '1.0', which is no whole number"),
        ("true", "line 1 has the label 'True', which is no whole number"),
        ('"1"', "line 1 has the label '1', which is no whole number"),
    ],
)
def test_a_label_that_is_no_class_of_the_task_is_refused(tmp_path: Path, label: str, problem: str) -> None:
    file = written(tmp_path, f'{{"text": "a", "label": {label}}}')
    assert f"{file}, {problem}" in refusal(file, classes=2)


def test_a_task_that_classifies_wants_a_label_in_each_row(tmp_path: Path) -> None:
    assert "line 1 has no label, and the task classifies" in refusal(lines(tmp_path, {"text": "a"}), classes=2)
    assert "text 1 has no label" in refusal(written(tmp_path, "a", "mine.txt"), classes=2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has the columns (none)"),
        ("text,user\na,b\n", "has the columns text, user"),
        ("text,text\na,b\n", "has the columns text, text"),
        ("messages\n[]\n", "has the columns messages"),
        ("text,label\na,1\nb\n", "line 3 has 1 cells, not 2"),
        ('text,label\n"a\nb",1\n\nc,0\n', "line 4 has 0 cells, not 2"),
        ('text,label\n"a\nb",1\nc,2\n', "line 4 has label 2"),
        ("text,label\na,one\n", "line 2 has the label 'one', which is no whole number"),
        ("text,label\n ,1\n", "line 2: text is empty"),
        ('text,label\n"a,1\n', "line 2 cannot be read: unexpected end of data"),
        ('text,label\n"a"b,1\n', "line 2 cannot be read"),
        ("text,label\n" + "a" * 200_000 + ",1\n", "line 2 cannot be read: field larger than field limit"),
        ("text,label\n", "holds no texts"),
    ],
)
def test_a_bad_csv_file_is_refused_by_the_line_of_its_row(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in refusal(written(tmp_path, text, "mine.csv"), classes=2)


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.csv", "mine.txt"])
@pytest.mark.parametrize("text", [b"\xff\xfet\0e\0", b"text\ncaf\xe9\n"], ids=["utf-16", "latin-1"])
def test_a_file_that_is_not_in_utf_8_is_refused(tmp_path: Path, name: str, text: bytes) -> None:
    assert "cannot be read" in refusal(written(tmp_path, text, name))


def test_a_txt_file_of_null_characters_is_refused(tmp_path: Path) -> None:
    assert "text 1: text holds null characters" in refusal(written(tmp_path, "To be".encode("utf-16-le"), "mine.txt"))


def test_files_without_a_text_are_refused(tmp_path: Path) -> None:
    assert "holds no texts" in refusal(written(tmp_path, "\n \n", "mine.txt"))
    (tmp_path / "mine.txt").unlink()
    assert "holds no texts" in refusal(tmp_path)
    assert "line 1 is empty" in refusal(written(tmp_path, ""))


def test_a_folder_that_holds_anything_else_is_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path, "a", "a.txt")
    (tmp_path / "more").mkdir()
    assert f"{tmp_path / 'more'} is no .txt file" in refusal(tmp_path)
    (tmp_path / "more").rename(tmp_path / "more.txt")
    assert f"{tmp_path / 'more.txt'} is no .txt file" in refusal(tmp_path)


def test_other_files_and_missing_ones_are_refused(tmp_path: Path) -> None:
    assert "of no kind that texts are read from" in refusal(written(tmp_path, "a", "mine.npz"))
    with pytest.raises(Refused, match="does not exist") as caught:
        load_texts(tmp_path / "absent.jsonl", num_classes=None)
    assert caught.value.code is ErrorCode.DATA_UNAVAILABLE


def test_more_than_memory_is_meant_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_ROWS", 2)
    assert "holds more than 2 texts" in refusal(written(tmp_path, "a\n\nb\n\nc", "mine.txt"))
    monkeypatch.setattr(files, "MOST_BYTES", 2**20)
    written(tmp_path, "a" * 700_000, "mine.txt")
    load_texts(tmp_path, num_classes=None)
    written(tmp_path, "b" * 700_000, "more.txt")
    assert "more than the 1 MiB that a node takes" in refusal(tmp_path)
