"""Who takes part: how many, of what kind, how many a round, and how reliable."""

from __future__ import annotations

import re

from orchestrator.planning.reading.numbers import NUMBER, WHOLE
from orchestrator.planning.reading.wishes import Crowd, Stated, Wishes, number, quoted
from orchestrator.planning.reading.words import Words

PHONES = (
    r"(?:smart)?phones?|mobiles?|mobile devices?|tablets?|iphones?|ipads?|androids?|handsets?|(?:web )?browsers?"
    r"|(?:browser )?tabs?|smart ?watch(?:es)?|wearables?"
)
ORGANISATIONS = (
    r"hospitals?|clinics?|banks?|organi[sz]ations?|companies|institutions?|institutes?|silos?|sites?|labs?|universities"
    r"|schools?|departments?|factories|plants|offices?|cent(?:er|re)s?|partners?|insurers?|agencies"
)
OTHERS = (
    r"nodes?|clients?|participants?|parties|workers?|machines?|laptops?|computers?|pcs?|servers?|users?|people|persons"
    r"|friends?|colleagues?|students?|(?:raspberry )?pis?|sensors?|cars?|vehicles?|robots?|cameras?|devices?|speakers?"
    r"|members?|employees?|doctors?|households?|farms?|teams?|stations?|volunteers?|peers?|owners?|customers?|processes"
)
CROWD = rf"(?:{PHONES}|{ORGANISATIONS}|{OTHERS})"
_KIND = (
    r"(?:(?:android|old|older|small|different|simulated|virtual|mobile|edge|iot|cheap|web|local|big|honest|fake|chrome"
    r"|low-end|cheap|unreliable|flaky|slow|independent|separate|regional|rural|german|european|of my|of our|my|our|the"
    r"|federated|participating|total|in total|connected|home|personal|browser|real|biggest|largest|main)\s+){0,2}"
)
_A_ROUND = (
    r"(?:\s+(?:train|take part|participate|work|join|(?:are )?(?:selected|sampled|chosen|drawn|picked)))?"
    r"(?:\s+in)?\s+(?:per|an?|each|every)\s+round"
)


def read_crowd(words: Words, wishes: Wishes) -> None:
    """Numbers of nodes. Whatever else has a number before `a round` is read before this."""
    _read_reliability(words, wishes)
    _read_minimum(words, wishes)
    _read_round(words, wishes)
    mixed = _read_sum(words, wishes)
    for pattern in (
        rf"\b{WHOLE}\s+{_KIND}{CROWD}\b",
        rf"\b(?:{CROWD}|k|n)\s*(?:=|:)\s*{WHOLE}\b",
        rf"\b{WHOLE} of them\b",
    ):
        if wishes.nodes is None and (found := words.find(pattern)) is not None:
            wishes.nodes = Stated(int(found[1]), quoted(found))
    _read_kind(words, wishes)
    if mixed:
        wishes.crowd_word = "devices"
    _read_selection(words, wishes)


def _read_sum(words: Words, wishes: Wishes) -> bool:
    """Whether several kinds of nodes were counted, `4 phones and 3 laptops`."""
    some = rf"{WHOLE}\s+{_KIND}{CROWD}\b"
    found = words.find(rf"\b{some}(?:\s*,\s*{some}){{0,3}}\s*,?\s*(?:and|plus|\+|&)\s+{some}")
    if found is None or wishes.nodes is not None:
        return False
    wishes.nodes = Stated(sum(int(each[1]) for each in re.finditer(some, found[0])), quoted(found))
    return True


def _read_minimum(words: Words, wishes: Wishes) -> None:
    if found := words.find(rf"\bquorum\s*(?:of|=|:|to)?\s*(?:at least\s+)?{WHOLE}\b"):
        wishes.state("cohort.quorum", int(found[1]), found)
    if found := words.find(
        rf"\b(?:at least\s+)?{WHOLE}\s+(?:updates|answers|replies)\s*(?:are\s+)?(?:enough|suffice)?"
    ):
        wishes.state("cohort.quorum", int(found[1]), found)
    least = (
        rf"\b(?:at least|a minimum of|minimum(?: of)?|wait for|wait until|no fewer than)\s+{WHOLE}\s+{_KIND}({CROWD})"
    )
    if found := words.find(rf"{least}(?:\s+(?:have joined|join|are (?:there|online)|online))?"):
        wishes.state("cohort.min_nodes", int(found[1]), found)
    if found := words.find(rf"\bmin_nodes\s*(?:=|:|of)?\s*{WHOLE}\b"):
        wishes.state("cohort.min_nodes", int(found[1]), found)


def _read_round(words: Words, wishes: Wishes) -> None:
    """How many of them, or which share, in a round."""
    of_them = rf"(?:\s+(?:of (?:them|these|those|(?:all |the )?{_KIND}{CROWD})|{_KIND}{CROWD}))?"
    among = rf"\b{WHOLE}\s+(?:out\s+)?of\s+(?:the\s+|all\s+)?{WHOLE}\s+{_KIND}({CROWD})(?:{_A_ROUND})?"
    if found := words.find(among):
        wishes.per_round = Stated(int(found[1]), quoted(found))
        wishes.nodes = Stated(int(found[2]), quoted(found))
        return
    if found := words.find(rf"\b{NUMBER}%\s+of\s+(?:the\s+|all\s+)?{WHOLE}\s+{_KIND}{CROWD}{_A_ROUND}"):
        wishes.share = Stated(float(found[1]) / 100, quoted(found))
        wishes.nodes = Stated(int(found[2]), quoted(found))
        return
    draws = r"(?:sampl(?:e|ing)|select(?:ing)?|pick(?:ing)?|choos(?:e|ing)|draw(?:ing)?)"
    for pattern in (
        rf"\b{draws}\s+{NUMBER}%{of_them}(?:{_A_ROUND})?",
        rf"\b{NUMBER}%{of_them}{_A_ROUND}",
        rf"\b(?:fraction|participation(?: rate)?|sampling rate|c)\s*(?:of|=|:|is)?\s*{NUMBER}(%)?(?=\s|,|;|$|\.)",
    ):
        if found := words.find(pattern):
            share = float(found[1])
            wishes.share = Stated(share / 100 if "%" in found[0] else share, quoted(found))
            return
    for pattern in (
        rf"\b{draws}\s+{WHOLE}{of_them}(?:{_A_ROUND})?",
        rf"\b{WHOLE}{of_them}{_A_ROUND}",
        rf"\b{WHOLE}{of_them}\s+at a time\b",
        rf"\bcohorts?(?: size)?\s*(?:of|=|:|to|is)?\s*{WHOLE}(?:\s+{_KIND}{CROWD})?",
        rf"\b(?:only )?(?:about )?{WHOLE}{of_them} (?:are|is) (?:ever )?(?:online|available|reachable|there)"
        r"(?: at (?:any|a) time)?",
        rf"\beach round\s+(?:with\s+|has\s+|uses\s+|takes\s+)?{WHOLE}{of_them}\b",
    ):
        if found := words.find(pattern):
            wishes.per_round = Stated(int(found[1]), quoted(found))
            return
    everyone = rf"\b(?:all|every)(?: (?:of them|the {CROWD}|{CROWD}))?{_A_ROUND}|\bfull participation\b"
    if found := words.find(everyone):
        wishes.share = Stated(1.0, quoted(found))


def _read_kind(words: Words, wishes: Wishes) -> None:
    """Phones first: who speaks of phones in hospitals means phones."""
    if words.says(r"\bweb ?gpu\b|\bweb ?gl\b|\bwasm\b"):
        wishes.crowd, wishes.crowd_word = "phones", "browser tabs"
    kinds: tuple[tuple[Crowd, str], ...] = (("phones", PHONES), ("organisations", ORGANISATIONS), ("nodes", OTHERS))
    for kind, pattern in kinds:
        found = words.find(rf"\b(?:{pattern})\b", again=True)
        if found is not None:
            wishes.crowd, wishes.crowd_word = kind, found[0]
            words.says(rf"\b(?:{pattern})\b")
            return


def _read_reliability(words: Words, wishes: Wishes) -> None:
    vanish = (
        r"(?:drop(?:s|ping)?[ -]?(?:out|off)?s?|vanish\w*|disappear\w*|go(?:es)? (?:away|offline)|leave|fail\w*"
        r"|crash\w*)"
    )
    if found := words.find(
        rf"\b{NUMBER}%\s*(?:of (?:them|the {CROWD})\s*)?(?:may\s+|might\s+|could\s+|will\s+|can\s+)?{vanish}(?: rate)?"
    ):
        wishes.drop_out = min(0.9, float(found[1]) / 100)
    elif found := words.find(rf"\b{WHOLE}(?: of (?:them|the {CROWD})| {CROWD})? (?:may|might|could|will|can) {vanish}"):
        wishes.drop_count = int(found[1])
    elif words.says(
        rf"\b(?:unreliable|flaky|intermittent\w*|come and go|comes and goes|churn|drop[ -]?outs?|bad connections?"
        rf"|stragglers?|(?:may|might|could|can|will|often|sometimes) {vanish})\b"
    ):
        wishes.drop_out = 0.0
    if found := words.find(rf"\bover[- ]?select\w*\s*(?:of|by|=|:|factor)?\s*{NUMBER}(%)?"):
        value = float(found[1])
        wishes.state("cohort.over_selection", 1 + value / 100 if found[2] else value, found)
    if found := words.find(rf"\b(?:lease|heartbeat)\s*(?:of|=|:)?\s*{WHOLE}\s*(?:s|sec\w*)?\b"):
        wishes.state("lease_s", int(found[1]), found)


def _read_selection(words: Words, wishes: Wishes) -> None:
    for value, pattern in (
        ("power_of_choice", r"\bpower[- ]of[- ]choice\b|\bhighest loss(?: first)?\b"),
        (
            "speed",
            r"\b(?:prefer(?:ring)? )?(?:the )?(?:fastest|quickest|fast(?:er)?) (?:nodes|clients|phones|devices|ones)\b",
        ),
        (
            "examples",
            r"\b(?:select\w*|sampl\w*|draw\w*|prefer\w*) (?:\w+ )?(?:by (?:data|examples|size)|(?:with )?more data)\b",
        ),
        (
            "uniform",
            r"\b(?:uniform|random)(?:ly)? (?:select\w*|sampl\w*|draw\w*)\b|\b(?:select|sampl|draw)\w* at random\b",
        ),
    ):
        if found := words.find(pattern):
            wishes.state("cohort.selection", value, found)
    if found := words.find(rf"\b{NUMBER}\s+candidates\b"):
        wishes.state("cohort.candidates", number(found[1]), found)
