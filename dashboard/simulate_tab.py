"""The tab on which whole federations are tried out on the server: the cut, the attack, the rule, and runs compared."""

from __future__ import annotations

from typing import Any

import gradio as gr
from anyio import from_thread

from dashboard.charts.drawing import Chart
from dashboard.desk import Desk, Refusal
from dashboard.live import Live
from dashboard.markup import notice, refused
from dashboard.opening import on_open
from dashboard.sign_in import Session
from dashboard.simulate.settings import ATTACKS, KINDS
from dashboard.simulate.steps import Steps, place_of
from dashboard.visitor import principal_of

_SILENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def simulate_tab(desk: Desk, session: Session, live: Live, blocks: gr.Blocks) -> None:
    """The tab's content."""
    steps = Steps(desk, live)
    told = gr.HTML(notice("One moment: the catalogue is being read.", tone="busy"), elem_id="simulate-said")
    with gr.Column(visible=False) as body:
        with gr.Row(elem_classes="row"):
            with gr.Column(elem_classes="glass", min_width=300):
                gr.Markdown("### A federation on this server")
                controls = _controls()
            with gr.Column(elem_classes="glass", min_width=300):
                cut = Chart("partition", "Whose examples are of which class")
                cut_said, wrong = (gr.HTML(elem_id=id, js_on_load=None) for id in ("cut-said", "simulate-problems"))
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
            accuracy, loss = (
                Chart(f"runs-{what.lower()}", f"{what} of the global model over rounds")
                for what in ("Accuracy", "Loss")
            )
            standing, download = (gr.HTML(elem_id=id, js_on_load=None) for id in ("standings", "runs-csv"))

    steps.lay(cut, accuracy, loss)
    request_id, begun = gr.State(""), gr.State(None)
    values = list(controls.values())
    verdict = [cut.data, cut_said, wrong, running, request_id]
    shown = [nothing, chosen, cancelling, accuracy.data, loss.data, standing, download, ran]

    def left(request: gr.Request) -> None:
        from_thread.run_sync(live.leave, place_of(request))  # Gradio calls this in a thread

    async def opened(request: gr.Request, token: str | None, *given: Any) -> list[Any]:
        try:
            choices = await steps.choices(principal_of(request, token))
        except Refusal as refusal:
            skipped = [gr.skip() for _ in (*values, *verdict)]
            return [gr.update(value=refused(refusal), visible=True), gr.update(visible=False), *skipped]
        filled = [gr.update(**choices[name]) if name in choices else gr.skip() for name in controls]
        checked = await steps.checked(request, token, *given)
        return [gr.update(visible=False), gr.update(visible=True), *filled, *checked]

    # What was chosen is taken as it is: the list may have changed since, and Gradio would refuse what it holds no more.
    lasting: dict[str, Any] = _SILENT | {"concurrency_limit": None, "trigger_mode": "multiple", "preprocess": False}
    following: dict[str, Any] = {
        "fn": steps.following,
        "inputs": [session.token, chosen, target, begun],
        "outputs": shown,
    }
    opening, again, was_opened = on_open(session, opened, values, [told, body, *values, *verdict])
    opening.then(**following, **lasting)
    again.then(**following | {"inputs": [*following["inputs"], was_opened]}, **lasting)
    gr.on([chosen.input, target.release], **following, **lasting)
    changes = [control.change for control in values]
    gr.on(changes, steps.checked, [session.token, *values], verdict, trigger_mode="always_last", **_SILENT)
    _fit(steps, session, controls)
    run = running.click(
        steps.ran,
        [session.token, request_id, chosen, *values],
        [ran, chosen, begun],
        api_visibility="private",
        show_progress_on=ran,
    )
    run.then(**following, **lasting)
    cancel = cancelling.click(steps.cancelled, [session.token, chosen], [ran, begun], api_visibility="private")
    cancel.then(**following, **lasting)
    blocks.unload(left)


def _fit(steps: Steps, session: Session, controls: dict[str, Any]) -> None:
    """Controls are there where they mean something beside the others."""
    kind, attack, rule = controls["kind"], controls["attack"], controls["rule"]
    kind.change(steps.fitting, [kind], [controls["alpha"]], **_SILENT)
    attack.change(steps.attacked, [attack], [controls["attackers"]], **_SILENT)
    rule.change(steps.withstanding, [session.token, rule], [controls["f"]], **_SILENT)


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
        f = gr.Number(
            None,
            label="Attackers to withstand (f)",
            placeholder="a fifth",
            visible=False,
            elem_id="sim-f",
            min_width=140,
        )
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
