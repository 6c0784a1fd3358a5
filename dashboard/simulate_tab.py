"""The tab on which whole federations are tried out on the server: the cut, the attack, the rule, and runs compared."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboard.charts.drawing import Chart
from dashboard.desk import Desk, Refusal
from dashboard.markup import notice, refused
from dashboard.opening import on_open
from dashboard.sign_in import Session
from dashboard.simulate.settings import ATTACKS, KINDS
from dashboard.simulate.steps import Steps
from dashboard.visitor import principal_of

_SILENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def simulate_tab(desk: Desk, session: Session) -> None:
    """The tab's content."""
    steps = Steps(desk)
    told = gr.HTML(notice("One moment: the catalogue is being read.", tone="busy"), elem_id="simulate-said")
    with gr.Column(visible=False) as body:
        with gr.Row(elem_classes="row"):
            with gr.Column(elem_classes="glass", min_width=300):
                gr.Markdown("### A federation on this server")
                controls = _controls()
            with gr.Column(elem_classes="glass", min_width=300):
                cut = Chart("partition", "Whose examples are of which class")
                cut_said = gr.HTML(elem_id="cut-said", js_on_load=None)
                wrong = gr.HTML(elem_id="simulate-problems", js_on_load=None)
                running = gr.Button("Run this simulation", variant="primary", visible=False, elem_id="run")
                ran = gr.HTML(elem_id="ran", js_on_load=None)
        with gr.Column(elem_classes="glass"):
            gr.Markdown("### Compare runs")
            nothing = gr.HTML(elem_id="no-runs", js_on_load=None)
            chosen = gr.CheckboxGroup([], label="Up to six, the newest first", visible=False, elem_id="runs")
            with gr.Row(elem_classes="row"):
                target = gr.Slider(0.1, 1, 0.9, step=0.01, label="Target accuracy", elem_id="target", min_width=220)
                cancelling = gr.Button(
                    "Cancel those that run", scale=0, min_width=190, visible=False, elem_id="cancel-runs"
                )
            accuracy = Chart("runs-accuracy", "Accuracy of the global model over rounds")
            loss = Chart("runs-loss", "Loss of the global model over rounds")
            standing = gr.HTML(elem_id="standings", js_on_load=None)
            download = gr.HTML(elem_id="runs-csv", js_on_load=None)

    steps.lay(cut, accuracy, loss)
    request_id = gr.State("")
    values = list(controls.values())
    verdict = [cut.data, cut_said, wrong, running, request_id]
    shown = [nothing, chosen, cancelling, accuracy.data, loss.data, standing, download]

    async def opened(request: gr.Request, token: str | None, picked: Any, wanted: Any, *given: Any) -> list[Any]:
        principal = principal_of(request, token)
        try:
            choices = await steps.choices(principal)
            checked = await steps.checked(request, token, *given)
            seen = await steps.seen(principal, picked, wanted)
        except Refusal as refusal:
            skipped = len(values) + len(verdict) + len(shown)
            return [gr.update(value=refused(refusal), visible=True), gr.update(visible=False), *[gr.skip()] * skipped]
        filled = [gr.update(**choices[name]) if name in choices else gr.skip() for name in controls]
        return [gr.update(visible=False), gr.update(visible=True), *filled, *checked, *seen]

    on_open(session, opened, [chosen, target, *values], [told, body, *values, *verdict, *shown])
    gr.on(
        [control.change for control in values],
        steps.checked,
        [session.token, *values],
        verdict,
        trigger_mode="always_last",
        **_SILENT,
    )
    controls["kind"].change(steps.fitting, [controls["kind"]], [controls["alpha"]], **_SILENT)
    controls["attack"].change(
        lambda attack: gr.update(visible=bool(attack)), [controls["attack"]], [controls["attackers"]], **_SILENT
    )
    running.click(
        steps.ran,
        [session.token, request_id, chosen, target, *values],
        [ran, *shown],
        api_visibility="private",
        show_progress_on=ran,
    )
    gr.on(
        [chosen.input, target.release],
        steps.looked,
        [session.token, chosen, target],
        shown,
        trigger_mode="always_last",
        **_SILENT,
    )
    cancelling.click(steps.cancelled, [session.token, chosen, target], [ran, *shown], api_visibility="private")
    steps.follow(session, chosen, target, shown)


def _controls() -> dict[str, Any]:
    """By the names of `Settings`, in their order."""
    with gr.Row(elem_classes="row"):
        data = gr.Dropdown([("digits", "digits")], value="digits", label="Data set", elem_id="sim-data", min_width=140)
        model = gr.Dropdown([("mlp", "mlp")], value="mlp", label="Model", elem_id="sim-model", min_width=140)
    kind = gr.Radio(
        [(words, kind) for kind, words in KINDS.items()],
        value="dirichlet",
        label="How data is shared out",
        elem_id="sim-kind",
    )
    alpha = gr.Slider(0.05, 10, 0.3, step=0.05, label="α: the smaller, the more skewed", elem_id="sim-alpha")
    with gr.Row(elem_classes="row"):
        clients = gr.Slider(2, 100, 20, step=1, label="Clients", elem_id="sim-clients", min_width=200)
        fraction = gr.Slider(
            0.05, 1, 0.5, step=0.05, label="Share that trains in a round", elem_id="sim-fraction", min_width=200
        )
    with gr.Row(elem_classes="row"):
        rule = gr.Dropdown([("fedavg", "fedavg")], value="fedavg", label="Rule", elem_id="sim-rule", min_width=140)
        f = gr.Number(None, label="Attackers to withstand (f)", placeholder="a fifth", elem_id="sim-f", min_width=140)
    with gr.Row(elem_classes="row"):
        attack = gr.Dropdown(
            [("Nobody attacks", ""), *((words, name) for name, words in ATTACKS.items())],
            value="", label="Attack", elem_id="sim-attack", min_width=200,
        )  # fmt: skip
        attackers = gr.Slider(
            0,
            0.5,
            0.2,
            step=0.05,
            label="Share of the clients that attack",
            visible=False,
            elem_id="sim-attackers",
            min_width=200,
        )
    with gr.Row(elem_classes="row"):
        rounds = gr.Number(20, label="Rounds", elem_id="sim-rounds", min_width=90)
        epochs = gr.Number(3, label="Epochs", elem_id="sim-epochs", min_width=90)
        learning_rate = gr.Number(0.2, label="Learning rate", elem_id="sim-rate", min_width=90)
        seed = gr.Number(0, label="Seed", elem_id="sim-seed", min_width=90)
    return {
        "data": data, "model": model, "kind": kind, "alpha": alpha, "clients": clients, "fraction": fraction,
        "rule": rule, "f": f, "attack": attack, "attackers": attackers, "rounds": rounds, "epochs": epochs,
        "learning_rate": learning_rate, "seed": seed,
    }  # fmt: skip
