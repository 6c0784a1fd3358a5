"""What texts ask of a base model's tokenizer."""

from __future__ import annotations

from typing import Any, Protocol

from federation.errors import ErrorCode, Refused


class Tokenizer(Protocol):
    """What is asked of a tokenizer of transformers: a fast one, which knows where in the text each token stands."""

    is_fast: bool
    eos_token: Any
    eos_token_id: int | None
    pad_token_id: int | None
    unk_token: Any
    unk_token_id: int | None
    all_special_ids: list[int]
    added_tokens_decoder: dict[int, Any]
    split_special_tokens: bool
    chat_template: Any

    def __call__(self, text: Any, **options: Any) -> Any: ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...

    def convert_ids_to_tokens(self, ids: int) -> Any: ...


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
