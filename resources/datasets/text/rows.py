"""One row of a text data set, in one of four kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Text:
    """A text by itself: every token of it is learnt."""

    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What follows a prompt: the prompt is read, the completion is learnt."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation: the assistant's turns are learnt."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and its class, from 0."""

    text: str
    label: int


Row = Text | Completion | Chat | Labelled
Rows = tuple[Row, ...]


def characters(row: Row) -> int:
    """How long the row is, in characters."""
    match row:
        case Completion(prompt, completion):
            return len(prompt) + len(completion)
        case Chat(messages):
            return sum(len(message.content) for message in messages)
        case Text(text) | Labelled(text):
            return len(text)
