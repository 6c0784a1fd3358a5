"""Special tokens that are written out in a text: words where they can be, and refused where they cannot.

`</s>` in a text would otherwise end it, and be learnt as its end; and in a conversation anybody could end his own turn
and speak as the assistant.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from federation.errors import ErrorCode, Refused
from resources.datasets.text.tokenizer import Tokenizer


def literal(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that spells special tokens in texts out; those around a text it still adds.

    A copy, since the setting is the tokenizer's and not the call's, and others encode with it at the same time.
    """
    own = deepcopy(tokenizer)
    own.split_special_tokens = True
    return own


class Special:
    """The special tokens of a tokenizer: whichever its files mark so, and those that it names."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        marked = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._ids = frozenset(marked.union(tokenizer.all_special_ids))
        self._tokenizer = tokenizer

    def check(self, number: int, text: str, ids: Iterable[int]) -> None:
        """Refused BAD_DATA where one is among the `ids` of text `number`. The token for unknown words is none, unless
        the text spells it out."""
        for id in self._ids.intersection(ids):
            if id == self._tokenizer.unk_token_id and str(self._tokenizer.unk_token) not in text:
                continue
            token = self._tokenizer.convert_ids_to_tokens(id)
            problem = f"text {number} holds {token!r}, which is a special token of the base model and no word."
            raise Refused(ErrorCode.BAD_DATA, problem, "remove it from the text, or write it otherwise")
