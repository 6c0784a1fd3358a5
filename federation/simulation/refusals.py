"""What no simulation can do, told before anything is loaded, stored or trained."""

from __future__ import annotations

from federation.aggregation.compatibility import problems
from federation.errors import ErrorCode, Refused
from federation.model_spec import HF
from federation.rounds import nodes_needed, select_cohort
from federation.simulation.attacks import attackers_in, find_attack
from federation.spec import CohortSpec, TaskSpec, in_a_sentence


def check_simulation(spec: TaskSpec, clients: int, *, attack: str | None, attackers: float) -> None:
    """Refuses (invalid_argument, invalid_spec) what cannot be simulated with so many clients, whatever their data."""
    check_simulated_model(spec.model.id)
    chosen = None if attack is None else find_attack(attack)
    if not 0 <= attackers <= 1:
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"attackers = {attackers:g} is no share.", "give a number 0..1")
    if attackers_in(clients, attackers) == 0 if chosen else attackers > 0:
        problem = f"a share of {attackers:g} of {clients} clients"
        problem += " are no attackers." if chosen else " shall attack, and no attack is named."
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "give both an attack and a share of attackers, or neither")
    if spec.cohort.selection == "speed":
        raise Refused(
            ErrorCode.INVALID_SPEC,
            "cohort.selection: `speed` goes by how long nodes take, and clients that share a processor take no time of "
            "their own.",
            "choose uniform, examples or power_of_choice",
        )
    simulated = spec.model_copy(update={"cohort": cohort_of(spec, clients)})
    found = problems(simulated)
    if found:
        raise Refused(
            ErrorCode.INVALID_SPEC,
            in_a_sentence(found),
            "; ".join(each.mend for each in found),
        )


def check_simulated_model(model_id: str) -> None:
    """Refuses (invalid_spec) pretrained models: engines train clients of models of the catalogue."""
    if model_id.startswith(HF):
        raise Refused(
            ErrorCode.INVALID_SPEC,
            f"model.id: {model_id} is a pretrained language model, and simulations train models of the catalogue.",
            "create a task for nodes, or simulate one with a model of the catalogue (search_models)",
        )


def cohort_of(spec: TaskSpec, clients: int) -> CohortSpec:
    """All clients are at hand and none is lost, so nobody is drawn in reserve, and what is wanted comes."""
    if nodes_needed(spec.cohort) > clients:
        raise Refused(
            ErrorCode.INVALID_SPEC,
            f"a round needs {nodes_needed(spec.cohort)} clients, and there are {clients}.",
            "lower cohort.size, cohort.quorum or cohort.min_nodes, or simulate more clients",
        )
    cohort = select_cohort(spec.cohort, [str(place) for place in range(clients)], 0)
    assert cohort is not None  # noqa: S101 - there are enough of them
    quorum = spec.cohort.quorum
    if quorum is None and spec.aggregation.max_update_norm is None:
        quorum = cohort.wanted
    candidates = spec.cohort.candidates
    if candidates is not None:  # as a draw takes it
        candidates = max(candidates, cohort.wanted)
    return CohortSpec(size=cohort.wanted, quorum=quorum, selection=spec.cohort.selection, candidates=candidates)
