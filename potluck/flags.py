"""Refusals in the words of a command line: the domain speaks of a task's spec, whose fields are flags here."""

from __future__ import annotations

import re

from federation.errors import ErrorCode, Refused

_FIELDS = {
    "data.partition.parts": "--clients",
    "data.partition.shards_per_part": "--shards",
    "data.partition.min_examples": "--min-examples",
    "data.partition.alpha": "--alpha",
    "data.partition.kind": "--partition",
    "data.partition": "--partition",
    "data.id": "--data",
    "model.id": "--model",
    "training.learning_rate": "--lr",
    "training.epochs": "--local-epochs",
    "training.batch_size": "--batch-size",
    "training.weight_decay": "--weight-decay",
    "training.momentum": "--momentum",
    "training.optimizer": "--optimizer",
    "aggregation.rule": "--rule",
    "aggregation.mixing": "--mixing",
    "aggregation.weighting": "--weighting",
    "cohort.fraction": "--fraction",
    "cohort.quorum": "--clients",
}

_ANYWHERE = (
    (r"set aggregation\.options\.(\w+) to less", r"give a smaller --option \1"),
    (r"set aggregation\.options\.(\w+) to (\d+)", r"give --option \1=\2"),
    (r"(?:aggregation\.)?\boptions\.(\S+?)(?=[:;,. ]|$)", r"--option \1"),
    (r"; or set evaluation\.server to false[^;]*", ""),
    (r", or `own`", ""),
    (r"(^|; )(rounds|seed)(?=: )", r"\1--\2"),
    *((rf"\b{re.escape(field)}\b", flag) for field, flag in _FIELDS.items()),
)

_CLIENTS = (
    (r"raise cohort\.quorum to (\d+)", r"let a round take \1 clients (more --clients, a larger --fraction)"),
    (r"raise cohort\.quorum", "let a round take more clients (more --clients, a larger --fraction)"),
    (
        r"bound the updates with aggregation\.max_update_norm",
        "choose a rule that bounds updates (--rule norm_clipping)",
    ),
    (r"correct these fields; the schema is \S+", "correct these; `potluck simulate --help` describes them"),
    (r"model\.options\.(\S+?)(?=[:;,. ]|$)", r"--model-option \1"),
)

_FILES = (
    (r"raise cohort\.quorum(?: to \d+)?", "give more files"),
    (
        r"bound the updates with aggregation\.max_update_norm, or .*",
        "leave out the files with the largest norms, or use a robust rule",
    ),
)


def for_clients(refused: Refused) -> Refused:
    """As `potluck simulate` says it."""
    return _said(refused, (*_CLIENTS, *_ANYWHERE))


def for_files(refused: Refused) -> Refused:
    """As `potluck aggregate` says it."""
    code = ErrorCode.INVALID_ARGUMENT if refused.code is ErrorCode.INVALID_SPEC else refused.code
    return _said(Refused(code, refused.problem, refused.mend), (*_FILES, *_ANYWHERE))


def _said(refused: Refused, table: tuple[tuple[str, str], ...]) -> Refused:
    problem, mend = refused.problem, refused.mend
    for words, here in table:
        problem, mend = re.sub(words, here, problem), re.sub(words, here, mend)
    return Refused(refused.code, problem, mend)
