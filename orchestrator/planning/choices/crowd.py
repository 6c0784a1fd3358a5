"""Nodes, their shares of the data, and who takes part in a round."""

from __future__ import annotations

import math

from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.reading.wishes import Wishes
from resources.datasets import catalogue as datasets

USUAL_NODES = 4
_MOST_NODES, _MOST_SHARES = 100_000, 10_000  # as the schema has them
_BONAWITZ = "Bonawitz et al. 2019 (arXiv:1902.01046) select 130 % and see 6 to 10 % drop out"


def choose_crowd(draft: Draft, wishes: Wishes) -> None:
    """`cohort` and `data.partition`."""
    nodes, why = _nodes(draft, wishes)
    nodes = at_most(draft, nodes)
    if wishes.drop_count is not None:
        wishes.drop_out = min(0.9, wishes.drop_count / nodes)
    size, said = _size(draft, wishes, nodes, why)
    draft.put("cohort.size", size, said)
    _choose_reserve(draft, wishes, nodes, size)
    draft.take(wishes, "cohort.quorum", "cohort.min_nodes", "cohort.selection", "cohort.candidates", "lease_s")
    if draft.get("data.id") == "own":
        _own_shares(draft, wishes)
    else:
        draft.put("data.partition.parts", nodes, f"a share of the data for each of {nodes} {wishes.crowd_word}")
        choose_skew(draft, wishes)


def at_most(draft: Draft, nodes: int) -> int:
    """As many of them as can take part; that they are not all is said."""
    if draft.get("data.id") != "own" and nodes > _MOST_SHARES:
        draft.notes.append(
            f"{draft.get('data.id')} is cut into {_MOST_SHARES:,} shares at most: so many of {nodes:,} nodes take part."
        )
        return _MOST_SHARES
    if nodes > _MOST_NODES:
        draft.notes.append(f"A round has {_MOST_NODES:,} nodes at most, not {nodes:,}.")
        return _MOST_NODES
    return nodes


def _nodes(draft: Draft, wishes: Wishes) -> tuple[int, str]:
    if wishes.nodes is not None:
        return max(1, int(wishes.nodes.value)), wishes.nodes.why
    if wishes.per_round is not None:
        return max(1, int(wishes.per_round.value)), wishes.per_round.why
    least = max(wishes.value("cohort.min_nodes", 0), wishes.value("cohort.quorum", 0))
    attackers = int(wishes.attackers.value) if wishes.attackers is not None else 0
    nodes = max(USUAL_NODES, least, 5 * attackers)
    draft.notes.append(f"You did not say how many nodes there are: {nodes} are assumed.")
    return nodes, "assumed: nothing was said of it"


def _size(draft: Draft, wishes: Wishes, nodes: int, why: str) -> tuple[int, str]:
    """Updates that a round wants."""
    if wishes.per_round is not None:
        wanted = max(1, int(wishes.per_round.value))
        if wanted > nodes:
            draft.notes.append(
                f"{wanted} a round of {nodes} {wishes.crowd_word} contradict each other: {nodes} a round."
            )
        return min(wanted, nodes), wishes.per_round.why
    if wishes.share is not None:
        share = min(1.0, max(0.0, float(wishes.share.value)))
        return max(1, round(share * nodes)), f"{wishes.share.why}, of {nodes}"
    stated = max(wishes.value("cohort.quorum", 1), 1)
    if wishes.drop_out:
        size = max(1, min(nodes, math.floor(nodes * (1 - wishes.drop_out))))
        return max(size, min(nodes, stated)), f"{wishes.drop_out:.0%} of {nodes} may be missing"
    if nodes > 2 and (wishes.crowd == "phones" or wishes.drop_out == 0.0):
        size = max(math.ceil(0.8 * nodes), min(nodes, stated))
        return size, f"four fifths of {nodes} {wishes.crowd_word}: a round does not wait for the slowest; {_BONAWITZ}"
    return nodes, why


def _choose_reserve(draft: Draft, wishes: Wishes, nodes: int, size: int) -> None:
    """More nodes than wanted are asked where some may not answer."""
    if "cohort.over_selection" in wishes.stated:
        draft.take(wishes, "cohort.over_selection")
    elif wishes.drop_out:
        factor = round(min(10.0, 1 / (1 - wishes.drop_out), max(1.0, nodes / size)), 3)
        draft.put("cohort.over_selection", factor, f"{wishes.drop_out:.0%} may drop out: so many more are asked")
    elif size < nodes and (wishes.crowd == "phones" or wishes.drop_out == 0.0):
        factor = round(min(1.3, nodes / size), 3)
        draft.put("cohort.over_selection", factor, f"{wishes.crowd_word} come and go: more are asked than waited for")


def choose_skew(draft: Draft, wishes: Wishes) -> None:
    """How a data set of the server's is cut."""
    texts, by_people = draft.pretrained, draft.get("data.id") == "shakespeare"
    kind = wishes.skew_kind
    if wishes.skew == "none" or (wishes.skew is None and kind is None):
        if by_people and wishes.skew is None:
            _by_speaker(draft, "people's texts are by people: each share is one speaker's", wishes)
            return
        why = f"you said “{wishes.skew_words}”" if wishes.skew_words else "nothing was said of unlike data"
        draft.put("data.partition.kind", "iid", why)
        return
    if texts and not by_people and kind != "natural":
        draft.put("data.partition.kind", "iid", f"texts of {draft.get('data.id')} have no labels to cut by")
        draft.notes.append(
            f"“{wishes.skew_words}”: only users could make shares of texts unlike; they are cut at random."
        )
        return
    if texts:
        if kind in ("dirichlet", "shards"):
            draft.notes.append(
                f"“{wishes.skew_words}” cuts by label, and texts have none: each share is one speaker's."
            )
        _by_speaker(draft, f"you said “{wishes.skew_words}”", wishes)
        return
    if kind == "natural":
        draft.notes.append(f"“{wishes.skew_words}”: {draft.get('data.id')} has no users to cut by; Dirichlet is taken.")
        kind = "dirichlet"
    if kind == "shards":
        draft.put("data.partition.kind", "shards", f"you said “{wishes.skew_words}”")
        why = "two label shards a share, as McMahan et al. 2017 (arXiv:1602.05629)"
        draft.choose(wishes, "data.partition.shards_per_part", 2, why)
        return
    draft.put("data.partition.kind", "dirichlet", f"you said “{wishes.skew_words}”: label skew after Hsu et al. 2019")
    alpha, why = {
        "much": (
            0.1,
            "strong skew, the harder of the two usual values (NIID-Bench; docs/benchmarks.md, heterogeneity)",
        ),
        "little": (1.0, "mild skew"),
    }.get(
        wishes.skew or "", (0.5, "the usual skew of the literature (NIID-Bench, Li et al. 2022); 0.1 would be harder")
    )
    draft.choose(wishes, "data.partition.alpha", alpha, why)


def _by_speaker(draft: Draft, why: str, wishes: Wishes) -> None:
    draft.put("data.partition.kind", "natural", why)
    if (
        draft.get("data.id") == "shakespeare"
        and draft.get("data.partition.parts") <= datasets.text_card("shakespeare").num_users
    ):
        draft.put("data.partition.users", "largest", "the speakers with the most text, so that every node has enough")


def _own_shares(draft: Draft, wishes: Wishes) -> None:
    wishes.stated.pop("data.partition.alpha", None)
    wishes.stated.pop("data.partition.shards_per_part", None)
    if wishes.skew is not None:
        words = f"“{wishes.skew_words}”: nodes bring their own data, which are as they are; nothing is cut."
        draft.notes.append(words)
