"""Rows of texts as examples, and as a node's share of them."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from federation.data_spec import TextSpec
from federation.errors import ErrorCode, Refused
from resources.datasets.text.encoding import encode, encoded, text_share
from resources.datasets.text.rows import Chat, Completion, Labelled, Message, Row, Text
from tests.resources.text.small_tokenizer import CHAT, letters, words

NO = -100
PACKED = TextSpec(max_length=8)
LOOSE = TextSpec(max_length=8, packing=False)
CHAT_OF_8 = TextSpec(max_length=8, packing=False, template="chat")
PREAMBLE = words(chat="a b c d e f g h " + CHAT)
"""Before a text by itself its template puts more than eight tokens, which are not a prompt."""


def test_packed_texts_fill_examples_of_exactly_the_maximal_length() -> None:
    examples = encode([Text("a b c"), Text("d"), Completion("e f", " g h")], words(), PACKED, classifies=False)
    assert examples.x.tolist() == [[6, 7, 8, 2, 9, 2, 10, 11], [12, 13, 2, 0, 0, 0, 0, 0]]
    assert examples.y.tolist() == [[6, 7, 8, 2, 9, 2, NO, NO], [12, 13, 2, NO, NO, NO, NO, NO]]
    assert examples.x.dtype == examples.y.dtype == torch.int64


def test_without_packing_a_text_is_an_example_as_long_as_the_longest() -> None:
    examples = encode([Text("a b c"), Text("d")], words(), LOOSE, classifies=False)
    assert examples.x.tolist() == [[6, 7, 8, 2], [9, 2, 0, 0]]
    assert examples.y.tolist() == [[6, 7, 8, 2], [9, 2, NO, NO]]


def test_a_tokenizer_without_a_padding_token_pads_with_its_eos() -> None:
    examples = encode([Text("a b c"), Text("d")], words(pad_token=None), LOOSE, classifies=False)
    assert examples.x.tolist() == [[6, 7, 8, 2], [9, 2, 2, 2]]
    assert examples.y.tolist() == [[6, 7, 8, 2], [9, 2, NO, NO]]


def test_a_long_prompt_gives_way_to_its_completion() -> None:
    row = Completion("a b c d e f g", " h a")
    examples = encode([row], words(bos=True), LOOSE, classifies=False)
    assert examples.x.tolist() == [[1, 9, 10, 11, 12, 13, 6, 2]]
    assert examples.y.tolist() == [[NO, NO, NO, NO, NO, 13, 6, 2]]


A_LONG_QUESTION = Completion("a b c d e f g h", "a")
A_LONG_ANSWER = Completion("a", "b c d e f g h a b")
LATER_TURNS = Chat(tuple(Message("assistant" if n % 2 else "user", word) for n, word in enumerate("abcd")))


@pytest.mark.parametrize(
    ("row", "bos", "ids", "learnt"),
    [
        (A_LONG_QUESTION, False, [11, 12, 13, 2, 4, 6, 2], [6, 2]),
        (A_LONG_QUESTION, True, [1, 12, 13, 2, 4, 6, 2], [6, 2]),
        (A_LONG_ANSWER, False, [4, 7, 8, 9, 10, 11, 12], [7, 8, 9, 10, 11, 12]),
        (A_LONG_ANSWER, True, [1, 4, 7, 8, 9, 10, 11], [7, 8, 9, 10, 11]),
        (Text("a b c d e f g h"), True, [1, 4, 6, 7, 8, 9, 10], [6, 7, 8, 9, 10]),
    ],
    ids=["a question", "a question after <s>", "an answer", "an answer after <s>", "a text by itself"],
)
def test_a_long_conversation_loses_its_beginning_and_only_then_the_end_of_its_last_turn(
    row: Row, bos: bool, ids: list[int], learnt: list[int]
) -> None:
    text = CHAT_OF_8.model_copy(update={"max_length": 7})
    examples = encode([row], words(bos=bos), text, classifies=False)
    assert examples.x.tolist() == [ids]
    at = ids.index(learnt[0], 2 if bos else 1)
    assert examples.y.tolist() == [[NO] * at + learnt]


def test_of_earlier_turns_what_stays_is_learnt_still() -> None:
    examples = encode([LATER_TURNS], words(bos=True), CHAT_OF_8, classifies=False)
    assert examples.x.tolist() == [[1, 2, 3, 8, 2, 4, 9, 2]]
    assert examples.y.tolist() == [[NO, 2, NO, NO, NO, NO, 9, 2]]


def test_a_last_turn_survives_where_borders_stand_within_tokens() -> None:
    template = "{% for m in messages %}{{ 'a' if m.role == 'user' else 'b' }}:{{ m.content }}{% endfor %}"
    template += "{% if add_generation_prompt %}b:{% endif %}"
    merging = letters(":c", chat=template)  # " " is 6, ":" 7, "a" 8, "b" 9, "c" 10, ":c" 16
    row = Completion("dddddddd", "cd")
    whole = encode([row], merging, CHAT_OF_8.model_copy(update={"max_length": 64}), classifies=False)
    assert whole.x.tolist() == [[8, 7, *[11] * 8, 9, 7, 10, 11, 2]]
    cut = encode([row], merging, CHAT_OF_8, classifies=False)
    assert cut.x.tolist() == [[11, 11, 11, 9, 7, 10, 11, 2]]
    assert cut.y.tolist() == [[NO] * 5 + [10, 11, 2]]


def test_examples_without_a_token_to_learn_are_left_out_and_counted() -> None:
    rows: list[Row] = [Completion("a b c d e f g h", " a"), Text("b")]
    found = encoded(rows, words(), PACKED, classifies=False)
    assert found.examples.x.tolist() == [[6, 2, 7, 2, 0, 0, 0, 0]]
    assert (found.dropped, found.tokens) == (1, 12)
    found = encoded([Text("b"), Completion("c", "b")], PREAMBLE, CHAT_OF_8, classifies=False)
    assert found.examples.x.tolist() == [[13, 1, 3, 8, 2, 4, 7, 2]]
    assert found.dropped == 1


def test_to_classify_texts_stand_one_by_one_between_the_tokenizers_own_tokens() -> None:
    rows = [Labelled("a b", 1), Labelled("c d e f g h a b c", 0)]
    examples = encode(rows, words(bos=True), PACKED, classifies=True)
    assert examples.x.tolist() == [[1, 6, 7, 0, 0, 0, 0, 0], [1, 8, 9, 10, 11, 12, 13, 6]]
    assert examples.y.tolist() == [1, 0]
    assert examples.y.dtype == torch.int64


def test_equal_rows_make_equal_examples_whatever_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Text(" ".join("abcdefgh"[: n % 8 + 1])) for n in range(25)]
    first = encode(rows, words(), PACKED, classifies=False)
    monkeypatch.setattr("resources.datasets.text.tokens._BATCH", 4)
    again = encode(rows, words(), PACKED, classifies=False)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.y, again.y)


TEXTS = [Text(f"{one} {two}") for one in "abcdefgh" for two in "abcde"]


def held(holdout: float, seed: int = 0) -> tuple[list[list[int]], list[list[int]]]:
    train, held_out = text_share(TEXTS, words(), LOOSE, classifies=False, holdout=holdout, seed=seed)
    return train.x.tolist(), held_out.x.tolist()


def test_no_text_is_both_trained_on_and_held_out_and_none_is_lost() -> None:
    train, held_out = held(0.25)
    assert (len(train), len(held_out)) == (30, 10)
    assert sorted(train + held_out) == sorted(encode(TEXTS, words(), LOOSE, classifies=False).x.tolist())
    assert held(0.25) == (train, held_out)
    assert held(0.25, seed=1)[1] != held_out


@given(st.integers(2, 40), st.sampled_from([0.0, 0.1, 0.5]), st.integers(0, 2**62))
def test_a_share_is_dealt_out_before_it_is_packed(count: int, holdout: float, seed: int) -> None:
    thrice = TextSpec(max_length=9)  # three texts, each of two words and the eos
    train, held_out = text_share(TEXTS[:count], words(), thrice, classifies=False, holdout=holdout, seed=seed)
    texts = []
    for part in (train, held_out):
        ids = [each for each in part.x.ravel().tolist() if each]
        texts.append({tuple(ids[at : at + 3]) for at in range(0, len(ids), 3)})
    assert len(texts[1]) == int(count * holdout)
    every = encode(TEXTS[:count], words(), LOOSE, classifies=False).x.tolist()
    assert texts[0] | texts[1] == {tuple(ids) for ids in every}
    assert not texts[0] & texts[1]


def test_a_share_with_nothing_held_out_has_an_empty_other_part() -> None:
    train, held_out = text_share([Text("a")], words(), PACKED, classifies=False, holdout=0.5, seed=0)
    assert (len(train), tuple(held_out.x.shape), tuple(held_out.y.shape)) == (1, (0, 8), (0, 8))


def test_a_share_to_classify_keeps_each_label_with_its_text() -> None:
    rows = [Labelled(each.text, "abcdefgh".index(each.text[0])) for each in TEXTS]
    train, held_out = text_share(rows, words(), PACKED, classifies=True, holdout=0.25, seed=3)
    assert len(held_out) == 10
    for part in (train, held_out):
        assert (part.x[:, 0] - 6).tolist() == part.y.tolist()


def test_a_share_without_anything_to_train_on_is_refused() -> None:
    with pytest.raises(Refused, match=r"none of the 2 texts.*8 tokens.*max_length") as caught:
        text_share([Text("b")] * 2, PREAMBLE, CHAT_OF_8, classifies=False, holdout=0.0, seed=0)
    assert caught.value.code is ErrorCode.BAD_DATA


def test_whoever_loses_examples_is_told_how_many(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        text_share([Completion("c", "b"), Text("b")], PREAMBLE, CHAT_OF_8, classifies=False, holdout=0.0, seed=0)
    assert "1 of 2 texts have no token to learn within 8 tokens" in caplog.text
