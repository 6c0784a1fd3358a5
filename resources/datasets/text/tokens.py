"""Texts as token ids with labels, one document a text; `packing` makes examples of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused

Ids = NDArray[np.int64]
Span = tuple[int, int]
IGNORED = -100
"""The label of a token that no loss is taken on: what PyTorch's cross-entropy leaves out."""
_BATCH = 1000


class Tokenizer(Protocol):
    """What is asked of a tokenizer of transformers: a fast one, which knows where in the text each token stands."""

    is_fast: bool
    eos_token: Any
    eos_token_id: int | None
    pad_token_id: int | None
    chat_template: Any

    def __call__(self, text: Any, **options: Any) -> Any: ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text as the model is to read it.

    Attributes:
        text: all of it; a chat template has put its special tokens in as text.
        learnt: where the characters stand that loss is taken on: [start, end), disjoint, in order.
        prompt: whether what comes before them may be cut, from the left, where the text is too long.
    """

    text: str
    learnt: tuple[Span, ...]
    prompt: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """The tokens of one text.

    Attributes:
        ids: token ids, int64 [t].
        labels: the id again where loss is taken, else `IGNORED`; int64 [t], not shifted.
        head: tokens at the beginning that stay when the prompt is cut: the tokenizer's own.
        prompt: tokens after the head that may be cut, from the left.
        tail: tokens at the end that stay when the end is cut.
    """

    ids: Ids
    labels: Ids
    head: int = 0
    prompt: int = 0
    tail: int = 0


def eos_of(tokenizer: Tokenizer) -> int:
    """The id of the token that ends a text. Refused INVALID_SPEC for a tokenizer without one."""
    if tokenizer.eos_token_id is None:
        problem = "the base model's tokenizer has no end-of-text token (eos), so nothing would end a text."
        raise Refused(ErrorCode.INVALID_SPEC, problem, "choose a base model whose tokenizer_config.json has eos_token")
    return int(tokenizer.eos_token_id)


def pad_of(tokenizer: Tokenizer) -> int:
    """The id that fills examples up on the right: the tokenizer's padding token, else its end-of-text token."""
    return eos_of(tokenizer) if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)


def check_fast(tokenizer: Tokenizer) -> None:
    """Refused INVALID_SPEC for a tokenizer that cannot say where in the text its tokens stand."""
    if not tokenizer.is_fast:
        problem = "the base model's tokenizer is not a fast one, which alone knows where in a text its tokens stand."
        raise Refused(ErrorCode.INVALID_SPEC, problem, "choose a base model with a tokenizer.json")


def documents(texts: Sequence[Rendered], tokenizer: Tokenizer, *, framed: bool) -> Iterator[Document]:
    """The texts to learn, in order, each ended by one eos; where what comes before it is learnt, so is it.

    A text is encoded as a whole. Where a token would stand on both sides of a border between what is read and what is
    learnt, the pieces are encoded apart, so that the prompt has the very tokens that it has when text is generated
    from it. With `framed` the tokenizer's special tokens come around it, save those that the text brings itself; what
    they put before it is not learnt.
    """
    eos = eos_of(tokenizer)
    for text, tokens in zip(texts, _encoded(tokenizer, [each.text for each in texts], framed=framed), strict=True):
        ids, learnt = _marked(text, tokens, tokenizer)
        if not len(ids):
            yield Document(ids, ids)
            continue
        head = tokens.head if list(ids[: len(tokens.head)]) != tokens.head else []
        end = tokens.tail if ids[-1] != eos else []
        end = end if [ids[-1], *end][-1] == eos else [*end, eos]
        whole = np.concatenate([head, ids, end]).astype(np.int64)
        wanted = np.concatenate([[False] * len(head), learnt, [learnt[-1]] * len(end)]).astype(np.bool_)
        prompt = int(learnt.argmax()) if text.prompt and learnt.any() else 0
        yield Document(whole, np.where(wanted, whole, IGNORED), len(head), prompt)


def to_classify(texts: Sequence[str], tokenizer: Tokenizer) -> Iterator[Document]:
    """The texts to classify, in order, between the tokenizer's special tokens, which stay when the end is cut."""
    for tokens in _encoded(tokenizer, texts, framed=True):
        ids = np.concatenate([tokens.head, tokens.ids, tokens.tail]).astype(np.int64)
        yield Document(ids, np.full_like(ids, IGNORED), tail=len(tokens.tail))


@dataclass(frozen=True, slots=True)
class _Tokens:
    """An encoded text: the tokenizer's own tokens before and after; between them the ids, and each one's characters."""

    head: list[int]
    ids: Ids
    starts: Ids
    ends: Ids
    tail: list[int]

    def meet_at(self, border: int) -> bool:
        """Whether a token ends at the border, or nothing comes before it."""
        before = self.ends[self.starts < border]
        return not len(before) or bool(before[-1] == border)


def _encoded(tokenizer: Tokenizer, texts: Sequence[str], *, framed: bool) -> Iterator[_Tokens]:
    check_fast(tokenizer)
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
            yield _Tokens(ids[:start], own, spans[:, 0], spans[:, 1], ids[end:])


def _marked(text: Rendered, tokens: _Tokens, tokenizer: Tokenizer) -> tuple[Ids, NDArray[np.bool_]]:
    """The text's ids, and which of them are learnt: piece by piece, from border to border."""
    borders = sorted({border for span in text.learnt for border in span} - {0, len(text.text)})
    edges = list(pairwise([0, *borders, len(text.text)]))
    if all(tokens.meet_at(border) for border in borders):
        ids, counts = tokens.ids, np.diff([0, *np.searchsorted(tokens.starts, borders), len(tokens.ids)])
    else:
        pieces = [each.ids for each in _encoded(tokenizer, [text.text[a:b] for a, b in edges], framed=False)]
        ids, counts = np.concatenate(pieces), np.array([len(piece) for piece in pieces])
    learnt = [any(start <= first < end for start, end in text.learnt) for first, _ in edges]
    return ids, np.repeat(np.array(learnt, dtype=np.bool_), counts)
