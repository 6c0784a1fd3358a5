"""What a person's few words ask the Hub for: a task, a size and a licence where they name one; the rest are words."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TASKS = {
    "text-generation": ("text generation", "language model", "causal lm", "llm", "chatbot", "chat", "story", "stories"),
    "text-classification": ("text classification", "sentiment", "spam", "topic classification"),
    "image-classification": ("image classification", "images", "image", "digits", "photos"),
    "tabular-classification": ("tabular classification", "tabular", "table"),
    "question-answering": ("question answering",),
    "summarization": ("summarization", "summarisation"),
    "translation": ("translation",),
    "automatic-speech-recognition": ("speech recognition", "audio", "speech"),
    "object-detection": ("object detection",),
}
_KEPT = {"digits", "stories", "story", "spam", "sentiment", "chat"}
"""Words that name a task and are good words of a name too."""
_LICENCES = {
    "apache": "apache-2.0",
    "apache-2.0": "apache-2.0",
    "mit": "mit",
    "cc0": "cc0-1.0",
    "cc-by-4.0": "cc-by-4.0",
}
_EMPTY = frozenset(
    re.findall(
        r"\w+",
        "a about an and any data dataset datasets find fine tune for from i in is licence license licensed model "
        "models of on or parameters params set sets small some that the to train tuned want with",
    )
)
_FACTOR = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_SIZE = re.compile(
    r"(?P<way>under|below|less than|at most|up to|<=?|over|above|more than|at least|>=?)\s*"
    r"(?P<number>\d{1,15}(?:\.\d{1,15})?)\s*(?P<factor>thousand|million|billion|[kmb])?\b"
)
_DOWN = ("under", "below", "less than", "at most", "up to", "<", "<=")


@dataclass(frozen=True)
class Question:
    """What is asked for.

    Attributes:
        words: that a name should hold.
        task: as the Hub names it (a model's pipeline tag, a data set's task category).
        least, most: parameters of a model, or examples of a data set.
    """

    words: tuple[str, ...]
    task: str | None = None
    licence: str | None = None
    least: int | None = None
    most: int | None = None


def understood(query: str) -> Question:
    """The question in these words."""
    text = query.lower()
    least = most = None
    for found in _SIZE.finditer(text):
        number = int(float(found["number"]) * _FACTOR[found["factor"] or ""])
        least, most = (least, number) if found["way"] in _DOWN else (number, most)
    text = _SIZE.sub(" ", text).replace("-classification", " classification").replace("-generation", " generation")
    task, phrase = _task(text)
    if phrase is not None and phrase not in _KEPT:
        text = re.sub(rf"\b{re.escape(phrase)}\b", " ", text)
    every = re.findall(r"[a-z0-9][a-z0-9._/-]*", text)
    licence = next((_LICENCES[word] for word in every if word in _LICENCES), None)
    words = tuple(word for word in every if word not in _EMPTY and word not in _LICENCES)
    return Question(words[:8], task, licence, least, most)


def _task(text: str) -> tuple[str | None, str | None]:
    """The task that the longest phrase in the text names, and the phrase."""
    found = [
        (phrase, task) for task, phrases in _TASKS.items() for phrase in phrases if re.search(rf"\b{phrase}\b", text)
    ]
    return max(((task, phrase) for phrase, task in found), key=lambda each: len(each[1]), default=(None, None))
