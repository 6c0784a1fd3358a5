"""Local training and how long it goes on: rounds, epochs, batches, rates, adapters, time and goals."""

from __future__ import annotations

from orchestrator.planning.reading.numbers import NUMBER, WHOLE
from orchestrator.planning.reading.wishes import Stated, Wishes, number, quoted
from orchestrator.planning.reading.words import Words

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = rf"{NUMBER}\s*-?\s*(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)\b"
_IS = r"\s*(?:of|=|:|to|at|is)?\s*"
_OF_ROUNDS = r"(?:communication|training|federated|global|fl|aggregation|short)"


def read_training(words: Words, wishes: Wishes) -> None:
    """Everything with a unit of its own, before numbers of nodes are read."""
    _read_ending(words, wishes)
    _read_time(words, wishes)
    _read_adapters(words, wishes)
    _read_optimizer(words, wishes)
    for path, patterns in _WHOLE.items():
        for pattern in patterns:
            for each in words.all(pattern):
                wishes.state(path, int(each[1]), each)
    for path, pattern in _NUMBER.items():
        for each in words.all(pattern):
            wishes.state(path, number(each[1]), each)


_WHOLE = {
    "evaluation.every": (
        rf"\b(?:evaluat\w*|scor\w*|test\w*)\s+(?:\w+\s+){{0,2}}?every\s+{WHOLE}\s+rounds?",
        rf"\bevery\s+{WHOLE}\s+rounds?\b",
    ),
    "rounds": (
        rf"(?<!\bafter )(?<!\bfirst )(?<!\blast )\b{WHOLE}\s+(?:{_OF_ROUNDS}\s+)?rounds?\b",
        rf"\b(?:stop|finish|end|quit|over|done|terminate)\w*\s+after\s+{WHOLE}\s+(?:{_OF_ROUNDS}\s+)?rounds?\b",
        rf"\brounds\s*(?:=|:|to)\s*{WHOLE}\b",
    ),
    "training.epochs": (
        rf"\b{WHOLE}\s+(?:(?:local|training)\s+)?(?:epochs?|passes|pass)\b(?:\s+(?:per|an?|each|every)\s+round)?",
        rf"\b(?:local )?epochs?{_IS}{WHOLE}\b",
        rf"\be\s*=\s*{WHOLE}\b",
    ),
    "training.batch_size": (
        rf"\b(?:mini-?)?batch(?:es)?[ -]?(?:sizes?)?{_IS}{WHOLE}\b",
        rf"\bb\s*=\s*{WHOLE}\b",
    ),
    "training.max_steps": (
        rf"\b{WHOLE}\s+(?:(?:local|gradient|sgd|optimi[sz]er|adam|training)\s+)?(?:steps?|iterations)\b"
        r"(?:\s+(?:per|an?|each|every)\s+round)?",
    ),
    "training.accumulation": (rf"\b(?:gradient )?accumulat\w+\s*(?:of|=|:|over|in)?\s*{WHOLE}(?: pieces| steps)?\b",),
    "seed": (rf"\bseed{_IS}{WHOLE}\b",),
}
_NUMBER = {
    "training.learning_rate": rf"\b(?:local |client )?(?:learning[- ]?rate|lr|step[- ]size|eta){_IS}{NUMBER}",
    "training.weight_decay": rf"\bweight[- ]decay{_IS}{NUMBER}",
    "training.momentum": rf"\b(?:local )?momentum{_IS}{NUMBER}",
}


def _read_optimizer(words: Words, wishes: Wishes) -> None:
    """Of the nodes; the server's has been read with the rules."""
    if words.denies(r"\bmomentum\b") and "training.momentum" not in wishes.stated:
        wishes.stated["training.momentum"] = Stated(0.0, "without momentum")
    elif found := words.find(rf"\bmomentum\b(?!{_IS}(?:\d|\.\d))"):
        wishes.state("training.momentum", 0.9, found)
    if words.denies(r"\bweight[- ]decay\b"):
        wishes.stated["training.weight_decay"] = Stated(0.0, "without weight decay")
    if found := words.find(r"\b(?:(?:local|client) )?adam(w)?(?:\s+(?:on|at) the (?:nodes|clients|devices|phones))?\b"):
        wishes.state("training.optimizer", "adam", found)
        if found[1]:
            wishes.notes.append("AdamW: nodes have Adam, whose weight decay is added to the gradient, not decoupled.")
    elif found := words.find(r"\b(?:plain |local |client )?sgd\b"):
        wishes.state("training.optimizer", "sgd", found)
    if found := words.find(r"\bgradient checkpointing\b|\bsave memory\b|\b(?:little|low) memory\b"):
        wishes.state("training.gradient_checkpointing", True, found)


def _read_ending(words: Words, wishes: Wishes) -> None:
    """Goals, patience, and who scores."""
    reaches = (
        r"(?:until|reach(?:es|ing)?|target(?:ing)?(?: of)?|hits?|aim(?:ing)? (?:for|at)|at least|get(?:s|ting)? to)"
    )
    for pattern in (
        rf"\b(?:(?:stop|finish|end) (?:at|when|once|as soon as)\s+(?:it (?:is|has|reaches)\s+)?)?(?:{reaches}\s+)?"
        rf"{NUMBER}(%)?\s*(?:test |validation |server )?accura\w+",
        r"\b(?:target )?accuracy\s*(?:of|=|:|is|reaches|above|over|>=?|target|hits)?\s*(?:at least\s+|about\s+)?"
        rf"{NUMBER}(%)?",
        rf"\b(?:stop|finish|end)\w*\s+at\s+(?:about )?{NUMBER}(%)",
        rf"\b{reaches}\s+(?:it\s+\w+\s+|about\s+)?{NUMBER}(%)",
    ):
        for each in words.all(pattern):
            value = float(each[1])
            wishes.state("stopping.target_accuracy", round(value / 100 if each[2] or value > 1 else value, 6), each)
    patience = (
        rf"\bafter {WHOLE} rounds? without (?:any )?(?:improvement|progress|getting better)|\bpatience{_IS}{WHOLE}"
    )
    if found := words.find(rf"(?:\bstop\w* )?{patience}|\b{WHOLE} rounds? without (?:any )?(?:improvement|progress)"):
        wishes.state("stopping.patience", int(found[1] or found[2] or found[3]), found)
    elif found := words.find(
        r"\bearly[- ]stop\w*"
        r"|\bstop\w* (?:when|once|if|as soon as) (?:it |the \w+ )?(?:stops? improving|plateaus?|converges?)"
    ):
        wishes.state("stopping.patience", 5, found)
    hold = (
        rf"\b(?:hold\w* out|held[- ]out|holdout)\s*(?:of|=|:)?\s*{NUMBER}(%)?|\b{NUMBER}%\s*(?:held out|for validation)"
    )
    if found := words.find(hold):
        value = float(found[1] or found[3])
        wishes.state("data.holdout", value / 100 if found[2] or found[3] or value > 1 else value, found)
    if words.denies(r"\b(?:server(?:-side)?|central) (?:evaluation|test(?:ing)?|scoring)\b"):
        wishes.stated["evaluation.server"] = Stated(False, "without evaluation by the server")


def _read_time(words: Words, wishes: Wishes) -> None:
    """Of the whole first: its words hold those of a round's."""
    limit = r"(?:deadlines?|time[- ]?outs?|time(?:[- ](?:limits?|budgets?))?)"
    whole = r"(?:(?:the |this )?(?:whole|entire) (?:\w+)|everything|all(?: of it)?)"
    for pattern in (
        rf"\b(?:overall|total|whole|entire|global)\s+{limit}{_IS}(?:about )?{_SPAN}",
        rf"\b{limit}\s+(?:for|of|on)\s+{whole}{_IS}{_SPAN}",
        rf"\b(?:{limit}{_IS})?{_SPAN}\s+(?:overall|in total|altogether|in all|for {whole})\b",
    ):
        if wishes.total_s is None and (found := words.find(pattern)):
            wishes.total_s = Stated(seconds(found[1], found[2]), quoted(found))
    for pattern in (
        rf"\b(?:deadline|time-?out|time limit)(?: (?:per|of an?|of each|for each|for every) round)?{_IS}{_SPAN}"
        r"(?:\s+(?:per|an?|each|every)\s+round)?",
        rf"\b(?:at most |up to |max(?:imum)? |within )?{_SPAN}\s*(?:deadline\s*)?"
        r"(?:per|an?|each|every|for (?:each|a))\s+round\b",
        rf"\b(?:an?|each|every|per) rounds? (?:may take|takes?|lasts?|should take|within|in|must take)?\s*"
        rf"(?:at most |no more than |up to |no longer than )?{_SPAN}",
    ):
        for each in words.all(pattern):
            wishes.state("deadline_s", seconds(each[1], each[2]), each)
    if wishes.total_s is not None:
        return
    if found := words.find(
        r"\b(?:(?:done|finish\w*|over|ready|complete\w*)\s+)?(?:within|in|for|under|(?:in )?less than|at most"
        rf"|no longer than|not? more than|takes? (?:at most|under))\s+(?:about )?{_SPAN}"
    ):
        wishes.total_s = Stated(seconds(found[1], found[2]), quoted(found))
    elif found := words.find(r"\bovernight\b"):
        wishes.total_s = Stated(8 * 3600, quoted(found))


def seconds(amount: str, unit: str) -> int | float:
    """Of a span of time."""
    value = float(amount) * _UNITS[unit[0]]
    return int(value) if value.is_integer() else value


def _read_adapters(words: Words, wishes: Wishes) -> None:
    """Low-rank adapters, and how texts become examples."""
    lora = r"(?:lora(?:[- ]adapters?)?|adapters?)"
    for pattern in (
        rf"\b{lora}\s+(?:of |with |at )?(?:a )?r(?:ank)?{_IS}{WHOLE}\b",
        rf"\brank(?:\s+of {lora})?{_IS}{WHOLE}\b(?:\s+{lora})?",
        rf"\br\s*=\s*{WHOLE}\b",
        rf"\brank[- ]?{WHOLE}\b(?:\s+{lora})?",
        rf"\b{lora}[ -]{WHOLE}\b",
    ):
        for each in words.all(pattern):
            wishes.state("model.lora.r", int(each[1]), each)
    if found := words.find(rf"\b{lora}[- _]alpha{_IS}{NUMBER}|\balpha{_IS}((?:8|16|32|64|128|256)\b(?![.,/]\d))"):
        wishes.state("model.lora.alpha", number(found[1] or found[2]), found)
    if found := words.find(rf"\b(?:{lora}[- _])?dropout{_IS}{NUMBER}(%)?"):
        wishes.state("model.lora.dropout", number(found[1]) / (100 if found[2] else 1), found)
    if found := words.find(r"\ball[- ]linear(?: layers)?\b"):
        wishes.state("model.lora.target_modules", "all-linear", found)
    if found := words.find(r"\brs-?lora\b"):
        wishes.state("model.lora.use_rslora", True, found)
    if found := words.find(r"\b(?:bf16|bfloat16|half precision)\b"):
        wishes.state("model.dtype", "bfloat16", found)
    elif found := words.find(r"\b(?:fp32|float32|full precision)\b"):
        wishes.state("model.dtype", "float32", found)
    if words.says(rf"\b{lora}\b"):
        wishes.texts = True
    _read_texts(words, wishes)


def _read_texts(words: Words, wishes: Wishes) -> None:
    for pattern in (rf"\b{WHOLE}[ -]tokens?\b", rf"\b(?:sequence|context|max(?:imum)?)[- ]length{_IS}{WHOLE}"):
        for each in words.all(pattern):
            wishes.state("data.text.max_length", int(each[1]), each)
    if found := words.find(
        r"\bchat[- ](?:template|format)\b|\binstruction[- ]tun\w+\b|\bconversations?\b|\bdialog(?:ue)?s?\b"
    ):
        wishes.state("data.text.template", "chat", found)
    if words.denies(r"\bpacking\b"):
        wishes.stated["data.text.packing"] = Stated(False, "without packing")
