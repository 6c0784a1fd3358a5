"""What a model may speak of at all: only of what a finding is about, and never of addresses or secrets."""

from __future__ import annotations

import re
from collections.abc import Collection

_OF_FINDINGS = {
    r"diverg\w*": ("diverging",),
    r"converg\w*": ("converging", "target_reached"),
    r"over-?fit\w*": ("over_fitting",),
    r"plateau\w*|stagnat\w*|stall\w*": ("plateau",),
    r"straggl\w*": ("straggler",),
    r"drop(?:s|ped|ping)?[ -]?outs?": ("drop_outs",),
    r"drift\w*": ("client_drift",),
    r"outliers?": ("large_update", "update_against"),
    r"skew\w*": ("label_skew",),
    r"exclu[ds]\w*|left out": ("excluded_updates",),
    r"clip\w*": ("clipped_updates",),
    r"dominat\w*": ("dominant_node",),
    r"void": ("void_rounds",),
    r"guess\w*": ("guessing",),
}
"""Words, and the kinds of findings that bear them out."""
_OF_THE_TEXT = re.compile(
    r"\b(?:attack|malicious|poison|byzantine|adversar|backdoor|encrypt|anonym|protect|confidential|guarante|secre|secur"
    r"|leak|safe|unsafe|complian|gdpr|hipaa|certif|trustworth|hack|compromis|breach|privat|privac|crash|corrupt"
    r"|token|password|credential|paste|click|visit|log ?in|sign ?in|download|install|e-?mail|contact|send|upload"
    r"|all nodes|every node|all clients|every client|most nodes|most clients|majority|nobody|everybody|dozens|hundreds"
    r"|halve|halving|quadrupl"
    r"|thousands|millions?|billions?|several)",
)
"""Beginnings of words that the rules' own text must have as well."""
_DENIED = re.compile(r"\b(?:differential(?:ly)? priva\w+|secure aggregation)\b")
_NOT = re.compile(r"\b(?:no|not|neither|nor|without)\b|n't\b")
_ADDRESS = re.compile(
    r"\w+://|\bwww\.|\b(?:mailto|javascript|data):|\S@\S|\blocalhost\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\[[0-9a-f:]{3,}\]"
    r"|\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z][a-z0-9_-]+\b",
    re.IGNORECASE,
)


def check_topics(text: str, kinds: Collection[str], by_rules: str, known: Collection[str]) -> None:
    """ValueError for an address, or a subject on which the findings are silent.

    Args:
        kinds: of the findings.
        by_rules: the rules' own text.
        known: fields and tools, which have dots as hosts have.
    """
    for found in _ADDRESS.finditer(text):
        if found[0] not in known:
            raise ValueError(f"{found[0]!r} is not wanted: no addresses and no hosts; fields stand in back-ticks")
    said, told = text.lower(), by_rules.lower()
    for words, bearing in _OF_FINDINGS.items():
        named = re.search(rf"\b(?:{words})\b", said)
        if named and not set(bearing) & set(kinds):
            raise ValueError(f"no finding speaks of {named[0]!r}")
    for found in _OF_THE_TEXT.finditer(said):
        if found[0] not in told:
            raise ValueError(f"no finding speaks of {found[0]!r}")
    for sentence in re.split(r"[.!?;](?=\s|$)|\n", said):
        if (named := _DENIED.search(sentence)) and not _NOT.search(sentence):
            raise ValueError(f"there is no {named[0]} here, and a sentence on it says so")
