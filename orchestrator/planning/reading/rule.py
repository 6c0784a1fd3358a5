"""The aggregation rule: by name, or by what it is to withstand."""

from __future__ import annotations

from orchestrator.planning.reading.crowd import CROWD
from orchestrator.planning.reading.numbers import NUMBER, WHOLE
from orchestrator.planning.reading.wishes import Stated, Wishes, number, quoted
from orchestrator.planning.reading.words import Words

_IS = r"\s*(?:of|=|:|to|at|is)?\s*"
RULES = {
    "fedprox": r"fed[- ]?prox|proximal (?:term|regulari[sz]ation)",
    "scaffold": r"scaffold|control variates",
    "fednova": r"fed[- ]?nova|normali[sz]ed averaging",
    "fedavgm": r"fed[- ]?avg[- ]?m|server[- ](?:side )?momentum|momentum on the server",
    "fedadagrad": r"fed[- ]?adagrad|adagrad(?: on the server)?",
    "fedyogi": r"fed[- ]?yogi|yogi(?: on the server)?",
    "fedadam": r"fed[- ]?adam|adam (?:on|at) the server|server(?:-side| side)? adam|adaptive server(?: optimi[sz]er)?"
    r"|fedopt",
    "multi_krum": r"multi[-_ ]?krum",
    "krum": r"krum",
    "geometric_median": r"geometric[-_ ]median|rfa",
    "trimmed_mean": r"(?:coordinate[- ]wise )?trimmed[-_ ]mean",
    "median": r"(?:coordinate[- ]wise )?median",
    "bulyan": r"bulyan",
    "centered_clipping": r"cent(?:er|re)d[-_ ]clipping",
    "norm_clipping": r"norm[-_ ]clipping|clip(?:ping)? (?:the )?(?:update )?norms?",
    "lora_stack": r"lora_stack|flora|stack(?:ed|ing)? adapters",
    "ffa": r"ffa(?:[- ]lora)?|frozen a\b|freez\w+ a\b",
    "lora_exact": r"lora_exact|flexlora|exact (?:merg\w+|averag\w+|aggregation)",
    "fedavg": r"fed[- ]?avg|federated averaging|plain averag\w+|simple averag\w+",
}
_BAD = (
    r"(?:malicious|byzantine|attack(?:ers?|ing)|attack\b|adversar\w+|compromised|faulty|hostile|poison\w*|evil|dishonest"
    r"|corrupt\w*|bad (?:actors?|nodes?|clients?|apples?)|cheat\w*|liars?|lie\b|lying|hacked|rogue"
    r"|controlled by (?:an? )?(?:attackers?|adversar\w+))"
)
_ROBUST = (
    r"(?:(?:byzantine|attack)[- ])?(?:robust(?:ness|ly)?|resilien\w+|toleran\w+)|robust aggregation"
    rf"|(?:{_BAD})(?: {CROWD})?|attacks?|backdoors?|untrusted|not trust\w*|don't trust|data poisoning"
)
_ATTACKS = {
    "sign_flip": r"sign[- _]flip\w*",
    "label_flip": r"label[- _]flip\w*|flip(?:ped|ping)? labels",
    "gaussian": r"gaussian (?:noise|attack\w*)",
    "alie": r"alie|a little is enough",
    "ipm": r"ipm|inner[- ]product(?: manipulation)?",
    "min_max": r"min[- _]max",
    "backdoor": r"back-?doors?|back-?doored",
}


def read_rule(words: Words, wishes: Wishes) -> None:
    """Rules and their options; attackers, before other nodes are counted."""
    _read_options(words, wishes)
    _read_attackers(words, wishes)
    for name, pattern in RULES.items():
        if found := words.find(rf"\b(?:{pattern})(?!\w)"):
            wishes.rules.append(Stated(name, quoted(found)))
            words.says(rf"\b(?:{pattern})(?!\w)")
        elif words.denies(rf"\b(?:{pattern})(?!\w)"):
            wishes.denied_rules.append(name)
    wishes.rules.sort(key=lambda rule: words.text.find(rule.words))
    _read_robustness(words, wishes)
    _read_weights(words, wishes)


def _read_options(words: Words, wishes: Wishes) -> None:
    if found := words.find(rf"\b(?:mu|proximal term){_IS}{NUMBER}"):
        wishes.state("aggregation.options.mu", number(found[1]), found)
    if found := words.find(rf"\bserver(?:'s)?[- ](?:learning[- ]rate|lr|eta){_IS}{NUMBER}"):
        wishes.state("aggregation.options.eta", number(found[1]), found)
    if found := words.find(rf"\bserver[- ]momentum{_IS}{NUMBER}"):
        wishes.state("aggregation.options.beta", number(found[1]), found)
        wishes.rules.append(Stated("fedavgm", quoted(found)))
    if found := words.find(rf"\bbeta{_IS}{NUMBER}"):
        wishes.state("aggregation.options.beta", number(found[1]), found)
    if found := words.find(rf"\bf\s*=\s*{WHOLE}\b"):
        wishes.attackers = Stated(int(found[1]), quoted(found))
    if found := words.find(
        rf"\b(?:reject|refuse|drop) updates? (?:\w+ ){{0,3}}(?:above|over|larger than|longer than|exceeding) {NUMBER}"
        rf"|\b(?:max(?:imum)? )?update norm{_IS}(?:at most )?{NUMBER}"
    ):
        wishes.state("aggregation.max_update_norm", number(found[1] or found[2]), found)


def _read_attackers(words: Words, wishes: Wishes) -> None:
    may_be = r"(?:\s+(?:that |who )?(?:(?:may|might|could|can|will) (?:be )?|are |is |being |to be |turn )?)?"
    them = r"(?:them|which|whom|these|those|the\s+|all\s+|our\s+|my\s+)"
    of_them = rf"(?:\s+(?:out\s+)?of\s+{them}?(?:{WHOLE}\s+)?(?:{CROWD})?)?(?:\s+{CROWD})?"
    one_in = rf"\b{WHOLE}\s+(?:in|(?:out )?of)\s+every\s+{WHOLE}|\b{WHOLE}\s+in\s+{WHOLE}"
    if found := words.find(rf"(?:{one_in})(?:\s+{CROWD})?{may_be}\s*{_BAD}(?:\s+{CROWD})?\b"):
        part, whole = (int(each) for each in found.groups() if each)
        wishes.attacker_share, wishes.robust = Stated(part / max(1, whole), quoted(found)), True
        return
    for as_share in (True, False):
        amount = rf"{NUMBER}%" if as_share else WHOLE
        if found := words.find(rf"\b(?:up to |at most |about )?{amount}{of_them}{may_be}\s*{_BAD}(?:\s+{CROWD})?\b"):
            value = float(found[1]) / 100 if as_share else int(found[1])
            stated = Stated(value, quoted(found))
            wishes.attacker_share, wishes.attackers = (stated, wishes.attackers) if as_share else (None, stated)
            wishes.robust = True
            if found[2]:
                wishes.nodes = Stated(int(found[2]), quoted(found))
            return

    by = rf"(?:(?:share|fraction)\s+)?(?:by|from|of|=|:)?\s*{NUMBER}%(?:\s+of\s+(?:them|the\s+{CROWD}))?"
    if found := words.find(rf"\battack\w*\s*{by}"):
        wishes.attacker_share, wishes.robust = Stated(float(found[1]) / 100, quoted(found)), True
    elif found := words.find(rf"\b{_BAD}(?:\s+{CROWD})?\s*(?:=|:|is|are)\s*(?:up to |at most )?{NUMBER}(%)?"):
        value = float(found[1])
        if found[2] or value < 1:
            wishes.attacker_share = Stated(value / 100 if found[2] else value, quoted(found))
        else:
            wishes.attackers = Stated(int(value), quoted(found))
        wishes.robust = True


def _read_robustness(words: Words, wishes: Wishes) -> None:
    for attack, pattern in _ATTACKS.items():
        if words.says(rf"\b(?:{pattern})\b"):
            if wishes.attack is not None:
                wishes.notes.append(f"Two attacks are named, and a simulation has one: {wishes.attack} stands.")
            wishes.attack = wishes.attack or attack
            wishes.robust = True
    if words.says(rf"\b(?:{_ROBUST})\b"):
        wishes.robust = True
    elif words.denies(rf"\b(?:{_ROBUST})\b") and wishes.robust is None:
        wishes.robust = False
    if wishes.attackers is not None and wishes.attackers.value > 0:
        wishes.robust = True
    words.says(r"\b(?:against|withstand\w*|survive\w*|resist\w*|defend\w*|protect\w*|secure against)\b")
    if found := words.find(r"\bnnm\b|\bnearest[- ]neighbou?r mixing\b"):
        wishes.state("aggregation.mixing", "nnm", found)
    elif found := words.find(r"\bbucketing\b|\bin buckets\b"):
        wishes.state("aggregation.mixing", "bucketing", found)


def _read_weights(words: Words, wishes: Wishes) -> None:
    for value, pattern in (
        ("uniform", r"\buniform weight\w*|\bequal(?:ly)? weight\w*|\bweigh\w* (?:\w+ )?(?:equally|the same|uniformly)"),
        ("examples", r"\bweigh\w* (?:\w+ )?by (?:the )?(?:number of )?(?:examples|samples|data)"),
        ("capped", r"\bcapped weight\w*|\bweigh\w* capped"),
    ):
        if found := words.find(pattern):
            wishes.state("aggregation.weighting", value, found)
