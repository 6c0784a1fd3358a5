"""What a model reads of a row, and which of it is learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from federation.data_spec import TextSpec
from federation.errors import ErrorCode, Refused
from resources.datasets.text.rows import Chat, Completion, Labelled, Message, Row, Text
from resources.datasets.text.special import Special
from resources.datasets.text.tokenizer import Tokenizer, check_fast, eos_of, pad_of
from resources.datasets.text.tokens import Rendered, Span, tokenized

_EXCHANGE = (Message("user", "Question?"), Message("assistant", "Answer."))


def check_tokenizer(tokenizer: Tokenizer, text: TextSpec, *, classifies: bool) -> None:
    """Whether texts can be made examples with it, before there is a text.

    Raises:
        Refused: INVALID_SPEC for a tokenizer that has no eos or is not fast, and for a chat template that it has not,
            or that renders the beginning of a conversation otherwise than the whole.
    """
    check_fast(tokenizer)
    if classifies:
        pad_of(tokenizer)
        if text.template == "chat":
            raise _chat_classifies()
        return
    eos_of(tokenizer)
    if text.template == "chat":
        try:
            _conversation(_EXCHANGE, tokenizer)
        except _Otherwise as problem:
            raise Refused(ErrorCode.INVALID_SPEC, str(problem), _PLAIN) from None


def rendered(rows: Sequence[Row], tokenizer: Tokenizer, text: TextSpec, *, classifies: bool) -> Iterator[Rendered]:
    """Each row by the task's template.

    `plain`: a text as it is; a prompt and, straight after it, its completion, which alone is learnt.
    `chat`: by the tokenizer's own chat template; a prompt is the user's turn and its completion the assistant's, a text
    by itself an assistant's turn that nothing precedes. The assistant's turns are learnt, to the end of the turn; what
    follows the last of them is left out.

    Raises:
        Refused: BAD_DATA for a row of a kind that the task or its template cannot take, and for a special token in a
            turn, which in the whole could not be told from the template's, naming the row by its number among the
            texts; INVALID_SPEC for a tokenizer without a chat template.
    """
    special = Special(tokenizer)
    if classifies and text.template == "chat":
        raise _chat_classifies()
    for number, row in enumerate(rows, start=1):
        if classifies is not isinstance(row, Labelled):
            wanted = "texts with labels" if classifies else "texts without labels"
            mend = "give rows of text and label" if classifies else "leave the labels out"
            raise Refused(ErrorCode.BAD_DATA, f"text {number} is a {_kind(row)}, and the task wants {wanted}.", mend)
        if text.template == "plain":
            yield _plain(row, number)
            continue
        messages = _messages(row)
        contents = [message.content for message in messages]
        for content, tokens in zip(contents, tokenized(tokenizer, contents, framed=False), strict=True):
            special.check(number, content, tokens.ids.tolist())
        try:
            yield _conversation(messages, tokenizer)
        except _Otherwise as problem:
            raise Refused(ErrorCode.BAD_DATA, f"text {number}: {problem}", _PLAIN) from None


def _plain(row: Row, number: int) -> Rendered:
    match row:
        case Text(text) | Labelled(text):
            return Rendered(text, ((0, len(text)),))
        case Completion(prompt, completion):
            whole = prompt + completion
            return Rendered(whole, ((len(prompt), len(whole)),), len(prompt))
        case Chat():
            problem = f"text {number} is a conversation, which the plain template cannot render."
            raise Refused(
                ErrorCode.BAD_DATA, problem, "set data.text.template to chat, or give prompts and completions"
            )


def _messages(row: Row) -> tuple[Message, ...]:
    match row:
        case Chat(messages):
            return messages
        case Completion(prompt, completion):
            return (Message("user", prompt), Message("assistant", completion))
        case Text(text) | Labelled(text):
            return (Message("assistant", text),)


_MARK = "the-content-of-the-turn"


class _Otherwise(Exception):
    """A conversation cannot be rendered so that the assistant's turns are found; says why, in a sentence."""


_PLAIN = "set data.text.template to plain, or choose a base model with another chat template"


def _conversation(messages: tuple[Message, ...], tokenizer: Tokenizer) -> Rendered:
    """The conversation with the assistant's turns marked.

    A turn begins where the conversation before it ends once the template has been asked to let the assistant speak,
    which is what the model is given when it is to answer; and ends where the conversation up to it ends, or at the eos
    that ends it. Both have to be beginnings of the whole: else no place in the whole can be told from its parts. What
    comes before the last of them, to where its own opening begins, may be cut.
    """
    last = max((place for place, message in enumerate(messages) if message.role == "assistant"), default=len(messages))
    messages = messages[: last + 1]
    whole, prompt = _render(messages, tokenizer), 0
    spans: list[Span] = []
    for place, message in enumerate(messages):
        if message.role != "assistant":
            continue
        before, turn = messages[:place], messages[: place + 1]
        start = _render(before, tokenizer, answer=True) if before else _opening(message, tokenizer)
        upto = _ended(_render(turn, tokenizer), tokenizer)
        if not upto.startswith(start) or not whole.startswith(upto):
            raise _Otherwise(
                "the chat template renders the beginning of a conversation otherwise than it stands in the whole, "
                "so that the assistant's turns cannot be told."
            )
        spans.append((len(start), len(upto)))
        if before and place == last:
            bare = _render(before, tokenizer)
            prompt = len(bare if start.startswith(bare) else start)
    return Rendered(_ended(whole, tokenizer), tuple(spans), prompt)


def _opening(message: Message, tokenizer: Tokenizer) -> str:
    """What comes before an assistant's turn that opens the conversation: there is nothing that could be rendered."""
    return _render((Message(message.role, _MARK),), tokenizer).partition(_MARK)[0]


def _ended(text: str, tokenizer: Tokenizer) -> str:
    """Without the line break that templates put after the eos of a turn: nobody generates it."""
    bare = text.rstrip()
    return bare if tokenizer.eos_token is not None and bare.endswith(str(tokenizer.eos_token)) else text


def _render(messages: tuple[Message, ...], tokenizer: Tokenizer, *, answer: bool = False) -> str:
    if not tokenizer.chat_template:
        problem = "the base model's tokenizer has no chat template."
        raise Refused(ErrorCode.INVALID_SPEC, problem, "set data.text.template to plain, or choose a chat model")
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=answer))
    except Exception as error:  # a template is a program of its author's, and raises what it likes
        said = f"{type(error).__name__}: {error}".rstrip(".")
        raise _Otherwise(f"the base model's chat template refuses it ({said[:200]}).") from None


def _kind(row: Row) -> str:
    names = {
        Text: "text",
        Completion: "prompt with its completion",
        Chat: "conversation",
        Labelled: "text with a label",
    }
    return names[type(row)]


def _chat_classifies() -> Refused:
    problem = "a sequence classifier reads texts, not conversations."
    return Refused(ErrorCode.INVALID_SPEC, f"data.text.template: {problem}", "set data.text.template to plain")
