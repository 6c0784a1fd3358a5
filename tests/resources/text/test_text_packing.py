"""Documents as examples: no token is lost or invented, and labels stay with their tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.datasets.text.packing import learns, one_by_one, packed
from resources.datasets.text.tokens import Document

NO, PAD, EOS = -100, 0, 2


def document(ids: list[int], read: int = 0, head: int = 0, prompt: int = 0, tail: int = 0) -> Document:
    """Of `ids` the first `read` are not learnt."""
    whole = np.array(ids, dtype=np.int64)
    return Document(whole, np.where(np.arange(len(ids)) < read, NO, whole), head, prompt, tail)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    ids = draw(st.lists(st.integers(3, 99), max_size=30))
    read = draw(st.integers(0, len(ids)))
    head = draw(st.integers(0, read))
    return document([*ids, EOS], read, head, draw(st.integers(0, read - head)))


def test_documents_stand_one_after_another_and_go_on_in_the_next_example() -> None:
    x, y = packed([document([5, 6, EOS]), document([7, 8, 9, EOS], read=2)], 4, PAD)
    assert x.tolist() == [[5, 6, 2, 7], [8, 9, 2, 0]]
    assert y.tolist() == [[5, 6, 2, NO], [NO, 9, 2, NO]]


def test_what_fills_the_last_example_exactly_leaves_no_empty_one() -> None:
    x, y = packed([document([5, 6, 7, EOS]), document([8, 9, 5, EOS])], 4, PAD)
    assert x.tolist() == y.tolist() == [[5, 6, 7, 2], [8, 9, 5, 2]]


def test_no_documents_make_no_examples() -> None:
    for lay in (packed, one_by_one):
        x, y = lay([], 8, PAD)
        assert (x.shape, y.shape, x.dtype, y.dtype) == ((0, 8), (0, 8), np.int64, np.int64)


@given(st.lists(documents(), max_size=8), st.integers(2, 20))
def test_packing_loses_and_invents_no_token_and_no_label(parts: list[Document], length: int) -> None:
    x, y = packed(parts, length, PAD)
    ids, labels = ([each for part in parts for each in kind(part)] for kind in (lambda p: p.ids, lambda p: p.labels))
    assert x.shape == y.shape == (-(-len(ids) // length), length)
    assert x.ravel()[: len(ids)].tolist() == ids
    assert y.ravel()[: len(ids)].tolist() == labels
    assert set(x.ravel()[len(ids) :].tolist()) <= {PAD}
    assert set(y.ravel()[len(ids) :].tolist()) <= {NO}


@given(st.lists(documents(), min_size=1, max_size=8), st.integers(2, 20))
def test_one_by_one_each_document_keeps_its_head_and_as_much_of_its_end_as_its_prompt_makes_room_for(
    parts: list[Document], length: int
) -> None:
    x, y = one_by_one(parts, length, PAD)
    assert x.shape[1] == min(length, max(len(part.ids) for part in parts))
    for row, labels, part in zip(x.tolist(), y.tolist(), parts, strict=True):
        ids = part.ids.tolist()
        gone = max(0, min(len(ids) - length, part.prompt))
        kept = (ids[: part.head] + ids[part.head + gone :])[:length]
        assert row == kept + [PAD] * (len(row) - len(kept))
        wanted = (part.labels.tolist()[: part.head] + part.labels.tolist()[part.head + gone :])[:length]
        assert labels == wanted + [NO] * (len(row) - len(wanted))
        if len(ids) - gone <= length:
            assert [each for each in labels if each != NO] == [each for each in part.labels.tolist() if each != NO]


@pytest.mark.parametrize(
    ("long", "cut"),
    [
        (document([5, 6, 7, 8, 9, EOS]), [5, 6, 7, 8]),
        (document([1, 5, 6, 7, 8, EOS], read=4, head=1, prompt=3), [1, 7, 8, 2]),
        (document([1, 5, 6, 7, 8, 9, EOS], read=2, head=1, prompt=1), [1, 6, 7, 8]),
        (document([1, 5, 6, 7, 8, 9], tail=1), [1, 5, 6, 9]),
    ],
    ids=["its end", "the beginning of the prompt", "the whole prompt, then its end", "what is before the tail"],
)
def test_what_is_too_long_loses(long: Document, cut: list[int]) -> None:
    assert one_by_one([long], 4, PAD)[0].tolist() == [cut]


def test_an_example_whose_only_label_is_its_first_token_teaches_nothing() -> None:
    y = np.array([[5, NO, NO], [NO, NO, 5], [NO, NO, NO], [5, 6, NO]])
    assert learns(y).tolist() == [False, True, False, True]
