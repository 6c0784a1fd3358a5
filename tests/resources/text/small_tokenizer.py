"""Tokenizers small enough to write their ids by hand."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = ["<pad>", "<s>", "</s>", "<user>", "<bot>", "<system>", *"abcdefgh"]
"""Their places are their ids: a is 6, h is 13. The first six are special."""
CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ {'user': '<user>', 'assistant': '<bot>', 'system': '<system>'}[m.role] }}"
    " {{ m.content }} </s>\n{% endfor %}{% if add_generation_prompt %}<bot> {% endif %}"
)


def words(*, bos: bool = False, chat: str | None = CHAT, **special: str | None) -> Any:
    """A word is a token, spaces are none. With `bos` the tokenizer begins texts with <s>, as Llama's does."""
    backend = Tokenizer(models.WordLevel({word: id for id, word in enumerate(WORDS)}))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if bos:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return _fast(backend, chat, special)


def letters(*merges: str, chat: str | None = None) -> Any:
    """A letter is a token, and so is each of `merges`, which are two letters."""
    vocabulary = [*WORDS[:6], *" :abcdefgh", *merges]
    backend = Tokenizer(
        models.BPE({token: id for id, token in enumerate(vocabulary)}, [(each[0], each[1]) for each in merges])
    )
    return _fast(backend, chat, {})


def _fast(backend: Tokenizer, chat: str | None, special: dict[str, str | None]) -> Any:
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"} | special
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        additional_special_tokens=WORDS[3:6],
        **{name: token for name, token in named.items() if token is not None},
    )
    tokenizer.chat_template = chat
    return tokenizer
