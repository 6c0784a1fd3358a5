"""The Hub's models and data sets for a question."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from resources.hub import asking
from resources.hub.asking import HubAnswer, ask
from resources.hub.entries import HubEntry
from resources.hub.question import Question

_OF_MODELS = ("safetensors", "downloads", "likes", "gated", "tags", "pipeline_tag", "config")
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M")
"""Numbers of examples, as the Hub writes them; larger ones are beyond what is taken."""
_ENDS = (0, 10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
_OF_DATASETS = ("downloads", "likes", "gated", "tags", "cardData")


def search_hub_models(question: Question, limit: int = 10) -> HubAnswer:
    """Models, the most downloaded first. Never raises: see `HubAnswer.unavailable`."""
    fixed = [("pipeline_tag", question.task)] if question.task else []
    bounds = (("min", question.least), ("max", question.most))
    span = [f"{name}:{_short(value)}" for name, value in bounds if value is not None]
    if span:
        fixed.append(("num_parameters", ",".join(span)))
    return _asked("models", question, fixed, _OF_MODELS, limit)


def search_hub_datasets(question: Question, limit: int = 10) -> HubAnswer:
    """Data sets, the most downloaded first. Never raises: see `HubAnswer.unavailable`."""
    fixed = [("filter", f"task_categories:{question.task}")] if question.task else []
    sizes = [("filter", f"size_categories:{size}") for size in _sizes(question)]
    return _asked("datasets", question, fixed, _OF_DATASETS, limit, sizes)


def _asked(
    kind: str,
    question: Question,
    fixed: list[tuple[str, str]],
    wanted: tuple[str, ...],
    limit: int,
    each_of: Sequence[tuple[str, str]] = (),
) -> HubAnswer:
    """With all words; where that finds nothing, with the longest by themselves, then without a task: people do not
    know tags. Each of `each_of` is asked for by itself, since the Hub's filters must all hold."""
    if question.licence:
        fixed = [*fixed, ("filter", f"license:{question.licence}")]
    longest = sorted(question.words, key=len, reverse=True)[:2]
    loose = [each for each in fixed if each[0] != "pipeline_tag" and not each[1].startswith("task_categories:")]
    tries = [(" ".join(question.words), fixed), *((word, each) for each in (fixed, loose) for word in longest)]
    answer, deadline = HubAnswer(()), time.monotonic() + asking.DEADLINE_S
    for words, more in dict.fromkeys((words, tuple(more)) for words, more in tries):
        search = [("search", words)] if words else []
        expand = [("expand", name) for name in wanted]
        found: list[HubEntry] = []
        for one in [[each] for each in each_of] or [[]]:
            answer = ask(kind, (*search, *more, *one, ("sort", "downloads"), *expand), limit, deadline)
            if answer.unavailable:
                return answer
            found += answer.entries
        if found:
            unlike = {each.id: each for each in sorted(found, key=lambda each: -each.downloads)}
            return HubAnswer(tuple(unlike.values())[:limit])
    return answer


def _short(number: int) -> str:
    """500M for 500000000, as the Hub writes sizes."""
    for factor, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


def _sizes(question: Question) -> list[str]:
    """The categories that have sizes of those asked for; none where no size is."""
    least, most = question.least or 0, math.inf if question.most is None else question.most
    if question.least is None and question.most is None:
        return []
    return [name for name, low, high in zip(_SIZES, _ENDS, _ENDS[1:], strict=False) if least < high and most > low]
