"""Texts as token ids with labels, one document a text; `packing` makes examples of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused
from resources.datasets.text.special import Special
from resources.datasets.text.tokenizer import Tokenizer, eos_of

Ids = NDArray[np.int64]
Span = tuple[int, int]
IGNORED = -100
"""The label of a token that no loss is taken on: what PyTorch's cross-entropy leaves out."""
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text as the model is to read it.

    Attributes:
        text: all of it; a chat template has put its special tokens in as text.
        learnt: where the characters stand that loss is taken on: [start, end), disjoint, in order.
        prompt: characters at the beginning that may be cut, from the left, where the text is too long.
    """

    text: str
    learnt: tuple[Span, ...]
    prompt: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """The tokens of one text.

    Attributes:
        ids: token ids, int64 [t].
        labels: the id again where loss is taken, else `IGNORED`; int64 [t], not shifted.
        head: tokens at the beginning that stay when the prompt is cut: the tokenizer's own.
        prompt: tokens after the head that may be cut, from the left; in a conversation some of them are learnt.
        tail: tokens at the end that stay when the end is cut.
    """

    ids: Ids
    labels: Ids
    head: int = 0
    prompt: int = 0
    tail: int = 0


def documents(texts: Sequence[Rendered], tokenizer: Tokenizer, *, framed: bool) -> Iterator[Document]:
    """The texts to learn, in order, each ended by one eos; where what comes before it is learnt, so is it.

    A text is encoded as a whole. Where a token would stand on both sides of a border between what is read and what is
    learnt, the pieces are encoded apart, so that the prompt has the very tokens that it has when text is generated
    from it. With `framed` the tokenizer's special tokens come around it, and what they put before it is not learnt;
    without, a template has written all of them into the texts.

    Raises:
        Refused: BAD_DATA for what the tokenizer has no tokens for; with `framed` for a special token among its own.
    """
    eos, special = eos_of(tokenizer), Special(tokenizer)
    every = tokenized(tokenizer, [each.text for each in texts], framed=framed)
    first = next(tokenized(tokenizer, [""], framed=True)).head
    for number, (text, tokens) in enumerate(zip(texts, every, strict=True), start=1):
        ids, learnt, prompt = _marked(text, tokens, tokenizer)
        if framed:
            special.check(number, text.text, ids.tolist())
        if not len(ids):
            yield Document(ids, ids)
            continue
        end = tokens.tail if [ids[-1], *tokens.tail][-1] == eos else [*tokens.tail, eos]
        whole = np.concatenate([tokens.head, ids, end]).astype(np.int64)
        wanted = np.concatenate([[False] * len(tokens.head), learnt, [learnt[-1]] * len(end)]).astype(np.bool_)
        head = len(first) if whole[: len(first)].tolist() == first else 0
        prompt = max(0, len(tokens.head) + prompt - head)
        yield Document(whole, np.where(wanted, whole, IGNORED), head, prompt)


def to_classify(texts: Sequence[str], tokenizer: Tokenizer) -> Iterator[Document]:
    """The texts to classify, in order, between the tokenizer's special tokens, which stay when the end is cut.

    Raises:
        Refused: as `documents`.
    """
    special = Special(tokenizer)
    for number, (text, tokens) in enumerate(zip(texts, tokenized(tokenizer, texts, framed=True), strict=True), start=1):
        special.check(number, text, tokens.ids.tolist())
        ids = np.concatenate([tokens.head, tokens.ids, tokens.tail]).astype(np.int64)
        yield Document(ids, np.full_like(ids, IGNORED), tail=len(tokens.tail))


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text in tokens: the tokenizer's own before and after; between them the ids, and each one's characters."""

    head: list[int]
    ids: Ids
    starts: Ids
    ends: Ids
    tail: list[int]

    def meet_at(self, border: int) -> bool:
        """Whether a token ends at the border, or nothing comes before it."""
        before = self.ends[self.starts < border]
        return not len(before) or bool(before[-1] == border)

    def within(self, characters: int) -> int:
        """How many tokens the first `characters` of the text hold whole."""
        return int(np.searchsorted(self.ends, characters, side="right")) if characters > 0 else 0


def tokenized(tokenizer: Tokenizer, texts: Sequence[str], *, framed: bool) -> Iterator[Tokens]:
    """Each text's tokens; with `framed` between the tokenizer's own. Refused BAD_DATA for what it has no tokens for."""
    for at in range(0, len(texts), _BATCH):
        try:
            batch = tokenizer(
                list(texts[at : at + _BATCH]),
                add_special_tokens=framed,
                return_offsets_mapping=True,
                return_special_tokens_mask=True,
                return_attention_mask=False,
                verbose=False,  # it would warn of texts that are longer than the model's context, which are cut later
            )
        except Exception as error:  # the tokenizer's library raises nothing narrower
            problem = f"the base model's tokenizer cannot encode the texts: {error}."
            raise Refused(ErrorCode.BAD_DATA, problem, "choose another base model, or other texts") from None
        for ids, places, added in zip(
            batch["input_ids"], batch["offset_mapping"], batch["special_tokens_mask"], strict=True
        ):
            start = added.index(0) if 0 in added else len(added)
            end = len(added) - (added[::-1].index(0) if 0 in added else 0)
            spans = np.array(places[start:end], dtype=np.int64).reshape(-1, 2)
            own = np.array(ids[start:end], dtype=np.int64)
            yield Tokens(ids[:start], own, spans[:, 0], spans[:, 1], ids[end:])


def _marked(text: Rendered, tokens: Tokens, tokenizer: Tokenizer) -> tuple[Ids, NDArray[np.bool_], int]:
    """The text's ids, and which of them are learnt: piece by piece, from border to border; how many are its prompt."""
    borders = sorted({border for span in text.learnt for border in span} - {0, len(text.text)})
    edges = list(pairwise([0, *borders, len(text.text)]))
    learnt = np.array([any(start <= first < end for start, end in text.learnt) for first, _ in edges], dtype=np.bool_)
    if all(tokens.meet_at(border) for border in borders):
        counts = np.diff([0, *np.searchsorted(tokens.starts, borders), len(tokens.ids)])
        return tokens.ids, np.repeat(learnt, counts), tokens.within(text.prompt)
    pieces = list(tokenized(tokenizer, [text.text[a:b] for a, b in edges], framed=False))
    prompt = sum(piece.within(text.prompt - a) for piece, (a, _) in zip(pieces, edges, strict=True))
    counts = np.array([len(piece.ids) for piece in pieces])
    return np.concatenate([piece.ids for piece in pieces]), np.repeat(learnt, counts), prompt
