"""Documents as examples of equal length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resources.datasets.text.tokens import IGNORED, Document, Ids


def packed(documents: Sequence[Document], length: int, pad: int) -> tuple[Ids, Ids]:
    """The documents one after another, cut into examples of `length` tokens; the last is filled up with `pad`.

    As language models are pretrained: a document may go on in the next example, and attention reaches back into the
    documents before it. Ids and labels, both int64 [n, length].
    """
    total = sum(len(document.ids) for document in documents)
    count = -(-total // length)
    x, y = np.full(count * length, pad, dtype=np.int64), np.full(count * length, IGNORED, dtype=np.int64)
    if documents:
        np.concatenate([document.ids for document in documents], out=x[:total])
        np.concatenate([document.labels for document in documents], out=y[:total])
    return x.reshape(count, length), y.reshape(count, length)


def one_by_one(documents: Sequence[Document], length: int, pad: int) -> tuple[Ids, Ids]:
    """One example a document, cut to `length` tokens and filled up with `pad` to the longest of them.

    What is too long loses the beginning of its prompt, where it has one that may be cut, so that the completion
    survives; and then its end. Ids and labels, both int64 [n, longest].
    """
    cut = [_cut(document, length) for document in documents]
    width = max((len(ids) for ids, _ in cut), default=length)
    x, y = (np.full((len(cut), width), fill, dtype=np.int64) for fill in (pad, IGNORED))
    for row, (ids, labels) in enumerate(cut):
        x[row, : len(ids)], y[row, : len(ids)] = ids, labels
    return x, y


def _cut(document: Document, length: int) -> tuple[Ids, Ids]:
    over = max(0, len(document.ids) - length)
    head, resume = document.head, document.head + min(over, document.prompt)
    ids, labels = (np.concatenate([each[:head], each[resume:]]) for each in (document.ids, document.labels))
    if over > document.prompt and document.tail:
        keep = [*range(length - document.tail), *range(len(ids) - document.tail, len(ids))]
        return ids[keep], labels[keep]
    return ids[:length], labels[:length]


def learns(y: Ids) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which examples have a label that loss is taken on: one past the first token, which nothing predicts."""
    wanted: np.ndarray[tuple[int], np.dtype[np.bool_]] = (y[:, 1:] != IGNORED).any(axis=1)
    return wanted
