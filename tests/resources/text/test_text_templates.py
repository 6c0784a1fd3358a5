"""What a model reads of a row, token by token, and which tokens it learns; ids are written out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.data_spec import TextSpec
from federation.errors import ErrorCode, Refused
from resources.datasets.text.encoding import encode
from resources.datasets.text.rows import Chat, Completion, Labelled, Message, Row, Text
from resources.datasets.text.templates import check_tokenizer
from tests.resources.text.bytes_tokenizer import of_bytes
from tests.resources.text.small_tokenizer import CHAT, letters, words

NO = -100
PLAIN = TextSpec(max_length=16, packing=False)
CONVERSATION = TextSpec(max_length=16, packing=False, template="chat")


def one(row: Row, tokenizer: Any, text: TextSpec = PLAIN) -> tuple[list[int], list[int]]:
    """Ids and labels of the row's only example."""
    examples = encode([row], tokenizer, text, classifies=False)
    assert len(examples) == 1
    return examples.x[0].tolist(), examples.y[0].tolist()


def refusal(row: Row, tokenizer: Any, text: TextSpec = PLAIN, *, classifies: bool = False) -> Refused:
    with pytest.raises(Refused) as caught:
        encode([Text("a") if not classifies else Labelled("a", 0), row], tokenizer, text, classifies=classifies)
    return caught.value


def chat(*turns: str) -> Chat:
    """Turns by turns: the user's, the assistant's, and so on."""
    return Chat(tuple(Message("assistant" if n % 2 else "user", turn) for n, turn in enumerate(turns)))


def test_a_text_is_learnt_whole_and_ends_in_eos() -> None:
    assert one(Text("a b"), words()) == ([6, 7, 2], [6, 7, 2])


def test_the_tokenizers_own_beginning_comes_first_and_is_not_learnt() -> None:
    assert one(Text("a b"), words(bos=True)) == ([1, 6, 7, 2], [NO, 6, 7, 2])


def test_of_a_prompt_and_its_completion_the_completion_and_the_eos_are_learnt() -> None:
    assert one(Completion("a b", " c"), words(bos=True)) == ([1, 6, 7, 8, 2], [NO, NO, NO, 8, 2])
    assert one(Completion("a b ", "c"), words()) == ([6, 7, 8, 2], [NO, NO, 8, 2])


def test_a_token_never_stands_on_both_sides_of_the_border() -> None:
    merging = letters(" b")  # " " is 6, ":" 7, "a" 8, "b" 9, " b" 16
    assert one(Completion("a:", " b"), merging) == ([8, 7, 16, 2], [NO, NO, 16, 2])
    assert one(Completion("a: ", "b"), merging) == ([8, 7, 6, 9, 2], [NO, NO, NO, 9, 2])
    assert one(Text("a: b"), merging)[0] == [8, 7, 16, 2]


@pytest.mark.parametrize("trim", [False, True])
def test_white_space_at_a_border_is_where_it_was_written(trim: bool) -> None:
    tokenizer = of_bytes(trim=trim)
    for row, learnt in (
        (Text(" a "), " a "),
        (Completion("a:  ", "b "), "b "),
        (Completion("a:", " \n b"), " \n b"),
    ):
        ids, labels = one(row, tokenizer)
        whole = row.text if isinstance(row, Text) else row.prompt + row.completion
        assert tokenizer.decode(ids) == whole + "</s>"
        assert tokenizer.decode([label for label in labels if label != NO]) == learnt + "</s>"


BYTES = [of_bytes(), of_bytes(trim=True)]
WRITTEN = st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=12)


@given(WRITTEN, WRITTEN, st.booleans(), st.booleans())
def test_whatever_is_written_the_completion_is_learnt_and_nothing_else(
    prompt: str, completion: str, trim: bool, chat: bool
) -> None:
    tokenizer = BYTES[trim]
    tokenizer.chat_template = CHAT
    text = TextSpec(max_length=512, packing=False, template="chat" if chat else "plain")
    ids, labels = one(Completion(prompt, completion), tokenizer, text)
    before, after = (f"<user> {prompt} </s>\n<bot> ", f"{completion} </s>") if chat else (prompt, f"{completion}</s>")
    assert tokenizer.decode(ids) == before + after
    assert tokenizer.decode([label for label in labels if label != NO]) == after


def test_in_a_conversation_the_assistants_turns_are_learnt_to_their_end() -> None:
    ids = [1, 3, 6, 7, 2, 4, 8, 9, 2, 3, 10, 2, 4, 11, 2]
    labels = [NO] * 6 + [8, 9, 2] + [NO] * 4 + [11, 2]
    assert one(chat("a b", "c d", "e", "f"), words(bos=True), CONVERSATION) == (ids, labels)


def test_a_conversation_ends_with_the_assistants_last_turn() -> None:
    assert one(chat("a", "b", "c"), words(), CONVERSATION) == ([1, 3, 6, 2, 4, 7, 2], [NO] * 5 + [7, 2])


def test_a_systems_message_is_read() -> None:
    row = Chat((Message("system", "a"), Message("user", "b"), Message("assistant", "c")))
    ids = [1, 5, 6, 2, 3, 7, 2, 4, 8, 2]
    assert one(row, words(), CONVERSATION) == (ids, [NO] * 8 + [8, 2])


def test_a_prompt_with_its_completion_is_a_conversation_of_two_turns() -> None:
    assert one(Completion("a", "b"), words(), CONVERSATION) == one(chat("a", "b"), words(), CONVERSATION)


def test_a_text_by_itself_is_a_turn_of_the_assistants_that_nothing_precedes() -> None:
    assert one(Text("a b"), words(), CONVERSATION) == ([1, 4, 6, 7, 2], [NO, NO, 6, 7, 2])


def test_a_conversation_whose_template_ends_it_without_eos_gets_one() -> None:
    template = "{% for m in messages %}{{ 'a ' if m.role == 'user' else 'b ' }}{{ m.content }} {% endfor %}"
    template += "{% if add_generation_prompt %}b {% endif %}"
    assert one(chat("c", "d e"), words(chat=template), CONVERSATION) == ([6, 8, 7, 9, 10, 2], [NO] * 3 + [9, 10, 2])


def test_where_the_template_has_no_way_to_ask_for_an_answer_the_turns_head_is_learnt_as_well() -> None:
    template = CHAT.partition("{% if add")[0]
    assert one(chat("a", "b"), words(chat=template), CONVERSATION)[1] == [NO] * 4 + [4, 7, 2]


def test_a_template_that_renders_beginnings_otherwise_is_refused() -> None:
    counting = words(chat="{{ 'abcdefgh'[messages|length] }} " + CHAT)
    refused = refusal(chat("a", "b"), counting, CONVERSATION)
    assert refused.code is ErrorCode.BAD_DATA
    assert "text 2" in refused.problem
    assert "beginning of a conversation" in refused.problem
    assert "plain" in refused.mend
    with pytest.raises(Refused, match="beginning of a conversation") as caught:
        check_tokenizer(counting, CONVERSATION, classifies=False)
    assert caught.value.code is ErrorCode.INVALID_SPEC


def test_only_the_turns_that_later_ones_change_are_refused() -> None:
    template = "{% for m in messages %}{{ '<bot> ' if m.role == 'assistant' else '<user> ' }}"
    template += "{{ m.content if loop.last or m.role == 'user' else 'h' }} </s>\n{% endfor %}"
    template += "{% if add_generation_prompt %}<bot> {% endif %}"
    dropping = words(chat=template)
    check_tokenizer(dropping, CONVERSATION, classifies=False)
    assert one(chat("a", "b"), dropping, CONVERSATION)[0] == [3, 6, 2, 4, 7, 2]
    assert "beginning of a conversation" in refusal(chat("a", "b", "c", "d"), dropping, CONVERSATION).problem


def test_what_a_template_says_when_it_refuses_is_passed_on_with_the_texts_number() -> None:
    strict = words(chat="{% if messages[0].role != 'user' %}{{ raise_exception('user goes first') }}{% endif %}" + CHAT)
    with pytest.raises(Refused, match=r"text 2: .*user goes first") as caught:
        encode([chat("a", "b"), Text("a")], strict, CONVERSATION, classifies=False)
    assert caught.value.code is ErrorCode.BAD_DATA


def test_a_tokenizer_without_a_chat_template_is_refused() -> None:
    for refused in (
        lambda: check_tokenizer(words(chat=None), CONVERSATION, classifies=False),
        lambda: encode([Text("a")], words(chat=None), CONVERSATION, classifies=False),
    ):
        with pytest.raises(Refused, match="no chat template") as caught:
            refused()
        assert caught.value.code is ErrorCode.INVALID_SPEC


def test_a_tokenizer_without_eos_is_refused() -> None:
    for refused in (
        lambda: check_tokenizer(words(eos_token=None), PLAIN, classifies=False),
        lambda: encode([Text("a")], words(eos_token=None), PLAIN, classifies=False),
    ):
        with pytest.raises(Refused, match="no end-of-text token") as caught:
            refused()
        assert caught.value.code is ErrorCode.INVALID_SPEC


def test_a_tokenizer_that_is_not_a_fast_one_is_refused() -> None:
    class Slow:
        is_fast, eos_token_id, pad_token_id = False, 2, 0

    slow: Any = Slow()
    for refused in (
        lambda: check_tokenizer(slow, PLAIN, classifies=False),
        lambda: encode([Text("a")], slow, PLAIN, classifies=False),
    ):
        with pytest.raises(Refused, match=r"not a fast one.*tokenizer\.json"):
            refused()


def test_a_good_tokenizer_passes_the_check() -> None:
    for text in (PLAIN, CONVERSATION):
        check_tokenizer(words(), text, classifies=False)
    check_tokenizer(words(eos_token=None, chat=None), PLAIN, classifies=True)


def test_what_the_tokenizer_has_no_token_for_is_refused_in_words() -> None:
    with pytest.raises(Refused, match="cannot encode") as caught:
        encode([Text("zebra")], words(), PLAIN, classifies=False)
    assert caught.value.code is ErrorCode.BAD_DATA


def test_rows_of_a_kind_that_the_task_cannot_take_are_refused_by_number() -> None:
    assert "text 2 is a text with a label" in refusal(Labelled("a", 1), words()).problem
    assert "text 2 is a conversation" in refusal(chat("a", "b"), words()).problem
    unlabelled = refusal(Text("a"), words(), classifies=True)
    assert "text 2 is a text, and the task wants texts with labels" in unlabelled.problem


def test_a_classifier_takes_no_conversations() -> None:
    for refused in (
        lambda: check_tokenizer(words(), CONVERSATION, classifies=True),
        lambda: encode([Labelled("a", 0)], words(), CONVERSATION, classifies=True),
    ):
        with pytest.raises(Refused, match=r"data\.text\.template.*not conversations"):
            refused()
