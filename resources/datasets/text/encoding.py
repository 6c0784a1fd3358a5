"""Rows of texts as a language model's examples: rendered, tokenised, packed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from federation.data_spec import TextSpec
from federation.errors import ErrorCode, Refused
from federation.examples import Examples, held_out_places
from resources.datasets.text.packing import learns, one_by_one, packed
from resources.datasets.text.rows import Labelled, Row
from resources.datasets.text.special import literal
from resources.datasets.text.templates import rendered
from resources.datasets.text.tokenizer import Tokenizer, check_fast, pad_of
from resources.datasets.text.tokens import Document, documents, to_classify

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """Examples, and what became of the texts.

    Attributes:
        examples: `x` int64 [n, T], right-padded; `y` int64 [n, T], not shifted, -100 where no loss is taken; for
            classification int64 [n].
        tokens: of the texts, before anything was cut or left out.
        dropped: examples left out, since no token of theirs is to be learnt within `max_length`.
    """

    examples: Examples
    tokens: int
    dropped: int


def encode(rows: Sequence[Row], tokenizer: Tokenizer, text: TextSpec, *, classifies: bool) -> Examples:
    """The rows as examples, in order; see `encoded`."""
    return encoded(rows, tokenizer, text, classifies=classifies).examples


def encoded(rows: Sequence[Row], tokenizer: Tokenizer, text: TextSpec, *, classifies: bool) -> Encoded:
    """The rows as examples, in order.

    With `text.packing` examples have exactly `text.max_length` tokens; without, and always for classification, each
    row is one, filled up to the longest of them. An example without a token to learn is left out and counted.

    Raises:
        Refused: BAD_DATA, INVALID_SPEC: as `templates.rendered`, `tokens.documents` and `tokens.to_classify`.
    """
    return _laid_out(_documents(rows, tokenizer, text, classifies), rows, tokenizer, text, classifies)


def text_share(
    rows: Sequence[Row], tokenizer: Tokenizer, text: TextSpec, *, classifies: bool, holdout: float, seed: int
) -> tuple[Examples, Examples]:
    """Examples to train on and, kept from training, those of the `holdout`-th part of the rows, drawn by `seed`.

    Rows are dealt out before they are packed, so that none is in both.

    Raises:
        Refused: as `encoded`; BAD_DATA where nothing is left to train on.
    """
    every = _documents(rows, tokenizer, text, classifies)
    parts = []
    for places in held_out_places(len(rows), holdout, seed):
        chosen = places.tolist()
        part, own = [every[place] for place in chosen], [rows[place] for place in chosen]
        parts.append(_laid_out(part, own, tokenizer, text, classifies))
    train, held_out = parts
    if not len(train.examples):
        problem = f"none of the {len(rows)} texts has a token to learn within {text.max_length} tokens."
        raise Refused(ErrorCode.BAD_DATA, problem, "give more or longer texts, or raise data.text.max_length")
    dropped = train.dropped + held_out.dropped
    if dropped and not text.packing:  # a packed example is no text
        said = "%d of %d texts have no token to learn within %d tokens: left out"
        _log.warning(said, dropped, len(rows), text.max_length)
    return train.examples, held_out.examples


def _documents(rows: Sequence[Row], tokenizer: Tokenizer, text: TextSpec, classifies: bool) -> list[Document]:
    check_fast(tokenizer)
    texts = list(rendered(rows, tokenizer, text, classifies=classifies))
    if text.template == "chat":
        return list(documents(texts, tokenizer, framed=False))
    if classifies:
        return list(to_classify([each.text for each in texts], literal(tokenizer)))
    return list(documents(texts, literal(tokenizer), framed=True))


def _laid_out(
    parts: list[Document], rows: Sequence[Row], tokenizer: Tokenizer, text: TextSpec, classifies: bool
) -> Encoded:
    tokens, pad = sum(len(part.ids) for part in parts), pad_of(tokenizer)
    if classifies:
        x, _ = one_by_one(parts, text.max_length, pad)
        y = np.array([row.label for row in rows if isinstance(row, Labelled)], dtype=np.int64)
        kept = np.array([len(part.ids) > 0 for part in parts], dtype=np.bool_)
    else:
        x, y = (packed if text.packing else one_by_one)(parts, text.max_length, pad)
        kept = learns(y)
    return Encoded(_examples(x[kept], y[kept]), tokens, int((~kept).sum()))


def _examples(x: NDArray[np.int64], y: NDArray[np.int64]) -> Examples:
    return Examples(torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(y)))
