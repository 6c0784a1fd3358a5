"""The aggregation rule, and what it takes to keep its promise."""

from __future__ import annotations

import math

from federation.aggregation.compatibility import fewest_updates
from federation.aggregation.methods import METHODS, Kind
from federation.spec import AggregationSpec
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.reading.wishes import Wishes

_STUDY = (
    "lost least at its worst in the robustness study (docs/benchmarks.md): 92.8 % under the hardest of four attacks, "
    "FedAvg 84.7 %"
)
_ROBUST, _USUAL, _EXACT = "centered_clipping", "fedavg", "lora_exact"

_STRONGEST = ("geometric_median", "centered_clipping")
_AS_BEFORE = "as before"


def choose_rule(draft: Draft, wishes: Wishes) -> None:
    """`aggregation`, and the quorum that a robust rule needs."""
    rule, why = _rule(draft, wishes)
    draft.put("aggregation.rule", rule, why)
    _choose_options(draft, wishes, rule)
    draft.take(wishes, "aggregation.mixing", "aggregation.weighting", "aggregation.max_update_norm")
    if "aggregation.mixing" in wishes.stated and not METHODS[rule].robust:
        draft.drop("aggregation.mixing")
        draft.notes.append(
            f"“{wishes.stated['aggregation.mixing'].words}” prepares robust rules; {rule} is none: left out."
        )
    if METHODS[rule].robust:
        withstand(draft, wishes)


def _rule(draft: Draft, wishes: Wishes) -> tuple[str, str]:
    return _named(draft, wishes) or _by_purpose(draft, wishes)


def _named(draft: Draft, wishes: Wishes) -> tuple[str, str] | None:
    """The first rule that was named and goes with the model; what is wrong with the others is said."""
    fits = [rule for rule in wishes.rules if _fits(draft, rule.value)]
    kind = "adapters of a language model" if draft.pretrained else "a model of the catalogue"
    for rule in wishes.rules:
        if rule not in fits:
            draft.notes.append(f"“{rule.words}” does not go with {kind}: left out.")
    if not fits:
        wishes.robust = wishes.robust or any(METHODS[rule.value].robust for rule in wishes.rules) or None
        return None
    first = fits[0]
    for other in {each.value: each for each in fits if each.value != first.value}.values():
        draft.notes.append(f"Two rules contradict each other: “{first.words}” stands, “{other.words}” is left out.")
    if wishes.robust and not METHODS[first.value].robust:
        words = "is not robust: one node can move its mean anywhere. You named it, so it stands."
        draft.notes.append(f"{first.value} {words}")
    return first.value, first.why


def _by_purpose(draft: Draft, wishes: Wishes) -> tuple[str, str]:
    if wishes.robust:
        return _ROBUST, f"you want it robust; it {_STUDY}"
    if "aggregation.options.mu" in wishes.stated:
        return "fedprox", f"{wishes.stated['aggregation.options.mu'].why}: μ is FedProx's"
    if draft.pretrained:
        return _EXACT, "the mean of factors is not the mean of their products; this is (docs/rules.md)"
    if _USUAL in wishes.denied_rules:
        return "fedprox", "you do not want FedAvg; FedProx is its next of kin"
    if wishes.skew in ("some", "much"):
        unlike = "the heterogeneity study could not tell FedProx, FedNova and FedAvg apart (docs/benchmarks.md)"
        return _USUAL, f"{unlike}: the simplest"
    return _USUAL, "McMahan et al. 2017: the mean weighted by examples"


def _fits(draft: Draft, rule: str) -> bool:
    if draft.pretrained:
        return METHODS[rule].kind is not Kind.COORDINATE and rule not in ("scaffold", "fednova")
    return METHODS[rule].kind is not Kind.ADAPTER


def _choose_options(draft: Draft, wishes: Wishes, rule: str) -> None:
    known = METHODS[rule].options.model_fields
    for path in [path for path in wishes.stated if path.startswith("aggregation.options.")]:
        name, stated = path.rpartition(".")[2], wishes.stated[path]
        if name in known:
            draft.put(path, float(stated.value), stated.why)
        else:
            draft.notes.append(f"“{stated.words}”: {rule} has no option {name}; left out.")


def withstand(draft: Draft, wishes: Wishes) -> None:
    """Sets f and the quorum so that the rule keeps what it promises with the fewest updates that close a round."""
    rule, size = str(draft.get("aggregation.rule")), int(draft.get("cohort.size") or draft.get("cohort.min_nodes") or 1)
    aggregation = AggregationSpec(rule=rule, mixing=draft.get("aggregation.mixing", "none"))
    most = max((f for f in range(size) if fewest_updates(aggregation, f) <= size), default=-1)
    if most < 1:
        least = fewest_updates(aggregation, 1)
        words = f"{rule} withstands an attacker among {least} updates or more, and a round has {size}: "
        if wishes.rules:
            draft.put("aggregation.options.f", 0, f"{size} updates a round are too few for protection")
            draft.notes.append(f"{words}f is 0, which protects from none.")
            quorum = max(1, fewest_updates(aggregation, 0))
            if quorum <= size:
                draft.put("cohort.quorum", quorum, f"{rule} needs so many updates")
                return
        usual = _EXACT if draft.pretrained else _USUAL
        draft.notes.append(f"{words}no rule can protect so few, so {usual} is taken. Ask for more nodes a round.")
        draft.drop("aggregation.options")
        draft.drop("aggregation.mixing")
        draft.put("aggregation.rule", usual, f"{size} updates a round are too few for a robust rule")
        return
    before = draft.get("aggregation.options.f")
    f, why = _attackers(wishes, size, before)
    if f > most:
        words = f"{rule} withstands at most {most} of {size} updates, not {f}: f is {most}. Ask for more nodes a round"
        others = "" if rule in _STRONGEST else f", or for {' or '.join(_STRONGEST)}, which withstand the most"
        draft.notes.append(f"{words}{others}.")
        f, why = most, f"the most that {rule} withstands among {size}"
    if f != before or why != _AS_BEFORE:
        draft.put("aggregation.options.f", f, why)
    fewest = fewest_updates(aggregation, f)
    quorum = max(fewest, math.ceil(size / 2), wishes.value("cohort.quorum", 0))
    quorum = min(quorum, size)
    draft.put(
        "cohort.quorum",
        quorum,
        f"to withstand {f}, {rule} needs {fewest} updates, and a round may close with its quorum",
    )
    if wishes.value("cohort.quorum", quorum) < quorum:
        draft.notes.append(
            f"“{wishes.stated['cohort.quorum'].words}” is too few to withstand {f}: the quorum is {quorum}."
        )


def _attackers(wishes: Wishes, size: int, before: object) -> tuple[int, str]:
    """How many are to be withstood in a round, and why; as before, where nothing is said now."""
    if wishes.attackers is not None:
        return max(0, int(wishes.attackers.value)), f"{wishes.attackers.why}; all of them may be in one round"
    if wishes.attacker_share is not None:
        f = math.ceil(round(float(wishes.attacker_share.value) * size, 2))  # a third of 9, as 33.33 %, is 3
        return f, f"{wishes.attacker_share.why}, of {size} a round"
    if isinstance(before, int) and before > 0:
        return before, _AS_BEFORE
    return max(1, size // 5), "no number was understood: a fifth of a round, at least one, as in the robustness study"
