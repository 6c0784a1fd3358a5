"""Special tokens that somebody writes into a text are words, or are refused; they never become the tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from federation.data_spec import TextSpec
from federation.errors import ErrorCode, Refused
from resources.datasets.text.encoding import encode
from resources.datasets.text.rows import Chat, Completion, Labelled, Message, Row, Text
from resources.models.language.tokenizers import load_tokenizer
from tests.resources.text.bytes_tokenizer import of_bytes
from tests.resources.text.small_tokenizer import CHAT, words

TINY_LLAMA = Path(__file__).parents[2] / "fixtures" / "tiny_llama"
PLAIN = TextSpec(max_length=128, packing=False)
CONVERSATION = TextSpec(max_length=128, packing=False, template="chat")
BYTES = of_bytes()
BYTES.chat_template = CHAT.replace("<bot>", "bot").replace("<user>", "user")
WRITTEN = st.lists(st.sampled_from(["</s>", "<pad>", "<", "/s>", "a", " "]), min_size=1, max_size=6).map("".join)


def ids_of(row: Row, tokenizer: Any, text: TextSpec = PLAIN, *, classifies: bool = False) -> list[int]:
    ids: list[int] = encode([row], tokenizer, text, classifies=classifies).x[0].tolist()
    return ids


def refusal(row: Row, tokenizer: Any, text: TextSpec, *, classifies: bool = False) -> str:
    before = Labelled("a", 0) if classifies else Text("a")
    with pytest.raises(Refused) as caught:
        encode([before, row], tokenizer, text, classifies=classifies)
    assert caught.value.code is ErrorCode.BAD_DATA
    assert "write it otherwise" in caught.value.mend
    return caught.value.problem


@given(WRITTEN, WRITTEN)
def test_in_plain_texts_they_are_spelt_as_any_word_is(one: str, other: str) -> None:
    for row in (Text(one + other), Completion(one, other)):
        ids = ids_of(row, BYTES)
        assert min(ids[:-1]) > 1
        assert (BYTES.decode(ids[:-1]), ids[-1]) == (one + other, 1)
    to_classify = ids_of(Labelled(one + other, 0), BYTES, classifies=True)
    assert min(to_classify) > 1
    assert BYTES.decode(to_classify) == one + other


def test_the_tokenizer_that_is_shared_with_others_takes_them_for_tokens_as_before() -> None:
    ids_of(Text("a</s>"), BYTES)
    assert BYTES("a</s>")["input_ids"][1:] == [1]


@given(WRITTEN, st.sampled_from(["system", "user", "assistant"]))
def test_in_a_conversation_nobody_ends_a_turn_but_the_template(content: str, role: Any) -> None:
    said = {"system": "c", "user": "a", "assistant": "b"} | {role: content}
    row = Chat(
        (Message("system", said["system"]), Message("user", said["user"]), Message("assistant", said["assistant"]))
    )
    if "</s>" in content or "<pad>" in content:
        assert "text 2 holds '<" in refusal(row, BYTES, CONVERSATION)
    else:
        assert ids_of(row, BYTES, CONVERSATION).count(1) == len(row.messages)


def test_a_tokenizer_that_has_no_other_spelling_refuses_them_in_plain_texts_too() -> None:
    assert "text 2 holds '</s>', which is a special token" in refusal(Text("a </s> b"), words(), PLAIN)
    assert "text 2 holds '<user>'" in refusal(Completion("a", " <user> b"), words(bos=True), PLAIN)
    assert "text 2 holds '<bot>'" in refusal(Labelled("a <bot>", 1), words(), PLAIN, classifies=True)


def test_a_language_models_own_are_told_from_words() -> None:
    llama = load_tokenizer(TINY_LLAMA)
    plain = ids_of(Text("a</s>b<s>"), llama)
    assert plain.count(llama.eos_token_id) == 1
    assert plain[-1] == llama.eos_token_id
    assert llama.decode(plain, skip_special_tokens=True) == "a</s>b<s>"
    assert "text 2 holds '</s>'" in refusal(Completion("a</s>", "b"), llama, CONVERSATION)


def test_a_word_that_is_unknown_is_no_special_token_and_the_token_for_it_is() -> None:
    known = {"</s>": 0, "<unk>": 1, "a": 2, "b": 3}
    backend = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")
    assert ids_of(Text("a zebra b"), tokenizer) == [2, 1, 3, 0]
    assert "text 2 holds '<unk>'" in refusal(Text("a <unk>"), tokenizer, PLAIN)
