"""How unlike the nodes' data are."""

from __future__ import annotations

from orchestrator.planning.reading.crowd import CROWD
from orchestrator.planning.reading.numbers import NUMBER, WHOLE
from orchestrator.planning.reading.wishes import Wishes, quoted
from orchestrator.planning.reading.words import Words

_IS = r"\s*(?:of|=|:|to|at|is)?\s*"
_MUCH = r"(?:very|extremely|highly|strongly|heavily|severely|pathologically|really|super)"
_LITTLE = r"(?:mildly|slightly|moderately|a bit|a little|somewhat|weakly)"
_NON_IID = (
    r"(?:non?[- ]?i\.?i\.?d\.?|not (?:very |exactly )?i\.?i\.?d\.?|heterogen\w+(?: data)?"
    r"|(?:label|class)[- ]?(?:skew\w*|imbalance)"
    r"|skew(?:ed)?(?: (?:data|labels?))?|unbalanced(?: labels?)?|uneven(?:ly)?|imbalanced?|unlike data|different data"
    r"|data (?:is|are) (?:all )?(?:different|unlike|skewed|heterogeneous)"
    r"|different (?:distributions?|labels?|classes)|statistical heterogeneity)"
)
_EACH = rf"(?:per|for each|on each|an?|each|every)(?:\s+(?:{CROWD}))?"


def read_skew(words: Words, wishes: Wishes) -> None:
    """Kind of cut and how skewed. `non-IID` alone is some skew."""
    _read_shards(words, wishes)
    _read_natural(words, wishes)
    named = r"(?:\s+(?:distribution|partition|split|cut|with|parameter|concentration)){0,3}"
    dirichlet = rf"\bdirichlet{named}(?:\s*\(?\s*(?:alpha)?{_IS}{NUMBER}\s*\)?)?"
    if found := words.find(dirichlet):
        wishes.skew_kind, wishes.skew_words = "dirichlet", quoted(found)
        wishes.skew = wishes.skew or "some"
        if found[1]:
            wishes.state("data.partition.alpha", float(found[1]), found)
    if found := words.find(rf"(?<!lora )(?<!lora-)\balpha{_IS}((?:0?\.\d{{1,6}}|[1-7]|10|100|1000)(?![\d.,/]*\d))"):
        wishes.state("data.partition.alpha", float(found[1]), found)
        wishes.skew_kind = wishes.skew_kind or "dirichlet"
        wishes.skew_words = wishes.skew_words or quoted(found)
        wishes.skew = wishes.skew or "some"
    unlike = "(?:different|unlike|skewed|heterogeneous)"
    if found := words.find(rf"\bdata (?:is|are) (?:({_MUCH})|({_LITTLE})|quite|rather) {unlike}"):
        wishes.skew, wishes.skew_words = "much" if found[1] else "little" if found[2] else "some", quoted(found)
    if found := words.find(rf"\b(?:({_MUCH})|{_LITTLE})[ -]{_NON_IID}"):
        wishes.skew, wishes.skew_words = "much" if found[1] else "little", quoted(found)
    skewed = words.find(rf"(?<![\w-]){_NON_IID}(?![\w])")
    even = words.find(r"(?<![-\w])(?:i\.?i\.?d\b\.?|evenly|even split|balanced(?: data)?|homogeneous(?: data)?)")
    if words.denies(rf"(?<![\w-]){_NON_IID}(?![\w])") and even is None and wishes.skew is None:
        wishes.skew, wishes.skew_words = "none", "not non-iid"
    if skewed is not None and wishes.skew is None:
        wishes.skew, wishes.skew_words = "some", quoted(skewed)
    if even is not None:
        if wishes.skew not in (None, "none"):
            first = wishes.skew_words
            wishes.notes.append(f"“{quoted(even)}” and “{first}” contradict each other; “{first}” stands.")
        else:
            wishes.skew, wishes.skew_words = "none", quoted(even)


def _read_shards(words: Words, wishes: Wishes) -> None:
    for pattern in (
        rf"\b(?:only )?{WHOLE}\s+(?:classes|labels|digits|categories|label shards|shards|class)\s+{_EACH}",
        rf"\b(?:each|every)\s+(?:{CROWD})\s+(?:has|holds?|sees?|knows?|gets?)\s+(?:only\s+)?{WHOLE}\s+(?:classes|labels|digits|shards|class)",
        rf"\b{WHOLE}\s+(?:label )?shards\b",
    ):
        if found := words.find(pattern):
            wishes.skew_kind, wishes.skew, wishes.skew_words = "shards", "much", quoted(found)
            wishes.state("data.partition.shards_per_part", int(found[1]), found)
            return
    if found := words.find(r"\b(?:label[- ])?shards?\b|\bpathological(?: split| partition)?"):
        wishes.skew_kind, wishes.skew, wishes.skew_words = "shards", "much", quoted(found)


def _read_natural(words: Words, wishes: Wishes) -> None:
    if found := words.find(
        r"\bnatural(?:ly)?(?: (?:partition|split|cut|non-?iid|users?))?\b"
        r"|\b(?:by|per) (?:user|speaker|author|writer|character)s?\b"
        r"|\beach (?:node|client|phone|one|device)? ?(?:is|plays|has|holds|gets) (?:one|1|a|its own)"
        r" (?:user|speaker|author|character|role)\w*"
        r"|\beach (?:one|1|a) (?:speaker|author|character|user)\b"
        r"|\b(?:one|1|a) (?:speaker|author|character|user) (?:per|for each|a|each) \w+"
    ):
        wishes.skew_kind, wishes.skew, wishes.skew_words = "natural", wishes.skew or "some", quoted(found)
