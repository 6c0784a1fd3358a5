"""Whether a plan is simulated, and the attack in it: arguments of run_simulation that no spec has."""

from __future__ import annotations

from orchestrator.planning.choices.crowd import USUAL_NODES
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.plan import Simulation
from orchestrator.planning.reading.wishes import Wishes

_USUAL_ATTACK, _USUAL_SHARE = "sign_flip", 0.2


def choose_simulation(draft: Draft, wishes: Wishes) -> Simulation | None:
    """With what run_simulation is called; None for a task of nodes. What is assumed or left out is noted."""
    if wishes.simulate and can_be_simulated(draft):
        found = simulation_of(draft, wishes)
        if found.attack is not None:
            said = "" if wishes.attack else "; you named no attack"
            arguments = f"attack ({found.attack}) and attackers ({found.attackers:g})"
            draft.notes.append(f"Attacks are simulated by run_simulation's own arguments {arguments}{said}.")
        elif wishes.attack or wishes.attackers or wishes.attacker_share:
            draft.notes.append("So few clients have no attacker among them: none attacks in the simulation.")
        return found
    if wishes.attack is not None:
        arguments = "run_simulation's own arguments attack and attackers"
        draft.notes.append(f"Attacks are simulated by {arguments}, not by the spec of a task for nodes.")
    return None


def simulation_of(draft: Draft, wishes: Wishes) -> Simulation:
    """The attack that was named, by as many clients as were; sign flips where only attackers were spoken of."""
    clients = int(draft.get("data.partition.parts") or USUAL_NODES)
    if wishes.attacker_share is not None:
        share = float(wishes.attacker_share.value)
    elif wishes.attackers is not None:
        share = int(wishes.attackers.value) / clients
    else:
        share = _USUAL_SHARE if wishes.attack is not None else 0.0
    share = min(1.0, round(share, 6))
    if share * clients < 1:
        return Simulation(None, 0.0)
    return Simulation(wishes.attack or _USUAL_ATTACK, share)


def can_be_simulated(draft: Draft) -> bool:
    """Whether it can; if not, why is noted."""
    if draft.pretrained:
        draft.notes.append("Simulations train models of the catalogue: this task is for nodes.")
        return False
    if draft.get("data.id") == "own":
        draft.notes.append(
            "A simulation needs data of the server's, and `own` data are on nodes: this task is for nodes."
        )
        return False
    if draft.get("cohort.selection") == "speed":
        draft.drop("cohort.selection")
        draft.notes.append("Simulated clients have no speed of their own: the selection is uniform.")
    return True
