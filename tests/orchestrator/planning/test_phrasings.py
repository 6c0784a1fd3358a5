"""What people type, and what has to come of it. Every plan is one that validate_task's own check accepts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.planning.by_rules import plan_by_rules
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.plan import Plan
from resources.workload import Workload

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SMOLLM = "hf:HuggingFaceTB/SmolLM2-135M-Instruct"
NAMED = (SMOLLM, "hf:acme/Tiny-LM.v2", "hf:openai-community/gpt2")


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """Digits, a few speeches, and folders with the names of pretrained models; no Hub."""
    models = tmp_path_factory.mktemp("models")
    for name in NAMED:
        shutil.copytree(FIXTURES / "tiny_llama", models / name.removeprefix("hf:"))
    return Workload(FIXTURES, models=models)


def planned(goal: str, workload: Workload, spec: dict[str, Any] | None = None) -> Plan:
    plan = plan_by_rules(goal, workload, spec)
    assert plan.problems == (), goal
    assert plan.budget is not None
    return plan


CASES: list[tuple[str, dict[str, Any]]] = [
    (
        "fine-tune a digit classifier on 10 phones, non-IID",
        {
            "data.id": "digits",
            "model.id": "mlp",
            "data.partition": {"parts": 10, "kind": "dirichlet", "alpha": 0.5},
            "cohort": {"size": 8, "over_selection": 1.25},
            "deadline_s": 300,
        },
    ),
    ("MNIST with four hospitals", {"data.id": "mnist", "model.id": "mnist_cnn", "cohort": {"size": 4}}),
    ("handwritten digits on a dozen laptops", {"data.id": "digits", "cohort.size": 12, "data.partition.parts": 12}),
    ("MNIST digits, 5 nodes", {"data.id": "mnist", "cohort.size": 5, "data.partition.kind": "iid"}),
    (
        "CIFAR-10 on 100 clients, 10 a round",
        {"data.id": "cifar10", "model.id": "cifar10_cnn", "cohort.size": 10, "data.partition.parts": 100},
    ),
    (
        "fashion-mnist for twenty-five browsers",
        {"data.id": "fashion_mnist", "cohort.size": 20, "model.id": "mnist_cnn"},
    ),
    ("cifar10 on browser tabs, 6 of them", {"data.id": "cifar10", "model.id": "mnist_cnn"}),
    (
        "train digits with 100 clients, half of them each round",
        {"cohort.size": 50, "data.partition.parts": 100},
    ),
    ("digits on 50 nodes, sample 10% of the nodes per round", {"cohort.size": 5, "data.partition.parts": 50}),
    ("digits, 20 clients, C = 0.25", {"cohort.size": 5}),
    ("3 out of 12 clients per round, digits", {"cohort.size": 3, "data.partition.parts": 12}),
    ("digits on 8 nodes, Dirichlet(0.1)", {"data.partition.kind": "dirichlet", "data.partition.alpha": 0.1}),
    ("digits, 8 nodes, label skew with α=0.3", {"data.partition.kind": "dirichlet", "data.partition.alpha": 0.3}),
    ("digits, 8 nodes, extremely non-iid", {"data.partition.alpha": 0.1, "training.epochs": 2, "rounds": 20}),
    ("digits, 8 nodes, slightly heterogeneous data", {"data.partition.alpha": 1.0}),
    (
        "MNIST, 100 clients, 2 classes per client",
        {"data.partition.kind": "shards", "data.partition.shards_per_part": 2},
    ),
    ("digits, 6 clients, each client has only 3 labels", {"data.partition.shards_per_part": 3}),
    ("digits, 5 nodes, IID, not heterogeneous", {"data.partition.kind": "iid"}),
    (
        "MNIST, 50 rounds, 5 local epochs, batch size 10, learning rate 0.01",
        {"rounds": 50, "training.epochs": 5, "training.batch_size": 10, "training.learning_rate": 0.01},
    ),
    (
        "MNIST with E=2, B=16, lr=1e-3, 4 clients",
        {"training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.001, "momentum": 0.9}},
    ),
    ("twenty rounds of digits for two hundred epochs", {"rounds": 20, "training.epochs": 200}),
    ("digits without momentum, 3 epochs", {"training.momentum": 0.0, "training.epochs": 3}),
    ("digits with momentum 0.5 and weight decay 0.001", {"training.momentum": 0.5, "training.weight_decay": 0.001}),
    (
        "digits with Adam on the clients",
        {"training.optimizer": "adam", "training.learning_rate": 0.001, "aggregation.rule": "fedavg"},
    ),
    ("digits with Adam on the server", {"aggregation.rule": "fedadam", "training.optimizer": None}),
    ("MNIST with FedProx mu 0.1 on 10 nodes", {"aggregation": {"rule": "fedprox", "options": {"mu": 0.1}}}),
    ("digits, scaffold, 6 nodes", {"aggregation.rule": "scaffold", "training.momentum": None}),
    ("digits: FedProx instead of FedAvg", {"aggregation.rule": "fedprox"}),
    ("digits, server momentum 0.8", {"aggregation.rule": "fedavgm", "aggregation.options.beta": 0.8}),
    (
        "digits on 10 nodes, robust against attackers",
        {"aggregation": {"rule": "centered_clipping", "options": {"f": 2}}, "cohort.quorum": 5},
    ),
    (
        "digits with multi-krum, 10 nodes, up to 3 of them may be malicious",
        {"aggregation": {"rule": "multi_krum", "options": {"f": 3}}, "cohort.quorum": 9},
    ),
    ("a fifth of the 20 clients are byzantine, digits", {"aggregation.options.f": 4, "data.partition.parts": 20}),
    ("digits on 10 nodes, not robust, no attackers", {"aggregation.rule": "fedavg", "cohort.quorum": None}),
    ("digits, trimmed mean with nnm, 9 nodes", {"aggregation.rule": "trimmed_mean", "aggregation.mixing": "nnm"}),
    ("digits on 10 phones until it reaches 95% accuracy", {"stopping.target_accuracy": 0.95, "rounds": 30}),
    (
        "digits, target accuracy 0.9, stop after 4 rounds without improvement",
        {"stopping": {"target_accuracy": 0.9, "patience": 4}},
    ),
    ("digits on 5 phones, each round at most 90 seconds", {"deadline_s": 90}),
    ("digits, 10 rounds, deadline 2 minutes, quorum 3, 6 nodes", {"deadline_s": 120, "cohort.quorum": 3, "rounds": 10}),
    ("digits, 12 rounds, all done within an hour", {"deadline_s": 300}),
    ("digits on 10 flaky devices where 30% may drop out", {"cohort.size": 7, "cohort.over_selection": 1.429}),
    ("digits, wait for 6 nodes, power of choice", {"cohort.min_nodes": 6, "cohort.selection": "power_of_choice"}),
    (
        "our own images 3x64x64, 5 classes, seven clinics",
        {
            "data": {"id": "own", "input_shape": [3, 64, 64], "num_classes": 5},
            "model.id": "cifar10_cnn",
            "cohort.size": 7,
        },
    ),
    (
        "each hospital has its own chest X-rays, 128x128 pixels, binary, four hospitals",
        {"data.input_shape": [1, 128, 128], "data.num_classes": 2, "cohort.size": 4},
    ),
    (
        "our private data with 30 features and 4 classes, 3 banks",
        {"data.input_shape": [30], "data.num_classes": 4, "model.id": "mlp"},
    ),
    (
        "MNIST with logistic regression on a thousand clients, 10 clients per round",
        {"model.id": "logistic", "cohort.size": 10, "data.partition.parts": 1000},
    ),
    ("digits with an MLP with 128 hidden units", {"model": {"id": "mlp", "options": {"hidden": 128}}}),
    (
        "fine-tune SmolLM2 on my texts on three laptops",
        {"model.id": SMOLLM, "data.id": "own", "data.text": {}, "aggregation.rule": "lora_exact", "cohort.size": 3},
    ),
    (
        "Shakespeare with LoRA rank 16, four nodes, each one speaker",
        {
            "model.lora.r": 16,
            "model.lora.alpha": 32,
            "data.partition.kind": "natural",
            "data.partition.users": "largest",
        },
    ),
    (
        "fine-tune hf:acme/Tiny-LM.v2 on Shakespeare, 4 nodes, 20 steps",
        {"model.id": "hf:acme/Tiny-LM.v2", "training.max_steps": 20},
    ),
    ("tune acme/Tiny-LM.v2 on our e-mails, 5 offices", {"model.id": "hf:acme/Tiny-LM.v2", "data.id": "own"}),
    ("GPT-2 on our documents, robust, 7 departments", {"model.id": NAMED[2], "aggregation.rule": "centered_clipping"}),
    (
        "classify our e-mails as spam, 2 classes, 4 companies",
        {"model.task": "sequence_classification", "data.num_classes": 2},
    ),
    ("a language model that writes like the nodes' speakers, 4 nodes", {"data.id": "shakespeare", "model.id": SMOLLM}),
    ("digits on 4 nodes, seed 7, hold out 20%", {"seed": 7, "data.holdout": 0.2}),
    (
        "Digits. Weigh everyone the same. Refuse updates with a norm above 5.",
        {"aggregation.weighting": "uniform", "aggregation.max_update_norm": 5},
    ),
    (
        "MNIST, K=100, C=0.1, E=5, B=10, lr=0.1, 2 shards per client",
        {"data.partition": {"parts": 100, "kind": "shards", "shards_per_part": 2}, "cohort.size": 10, "rounds": 20},
    ),
    (
        "make it robust to poisoning: 3 of our 15 nodes are controlled by an attacker. Digits data.",
        {"aggregation": {"rule": "centered_clipping", "options": {"f": 3}}, "data.partition.parts": 15},
    ),
    (
        "digits on 10 phones where two are malicious and 3 may drop out",
        {"cohort": {"size": 7, "over_selection": 1.429, "quorum": 5}, "aggregation.options.f": 2},
    ),
    ("we have 100 phones, but only about 20 are online at any time; digits", {"cohort.size": 20}),
    ("digits on 12 nodes whose data are very different", {"data.partition.alpha": 0.1}),
    ("cifar10 for 2 hours on 10 laptops", {"deadline_s": 240, "rounds": 30}),
    ("digits, 10 clients, sign-flip attack by 20% of them", {"aggregation.options.f": 2, "cohort.quorum": 5}),
    ("median of SmolLM2 adapters on my texts, 5 nodes", {"aggregation.rule": "centered_clipping"}),
]


@pytest.mark.parametrize(("goal", "wanted"), CASES, ids=[goal[:60] for goal, _ in CASES])
def test_a_phrase_gives_its_fields_in_a_spec_that_can_be_trained(
    goal: str, wanted: dict[str, Any], workload: Workload
) -> None:
    plan = planned(goal, workload)
    found = Draft(plan.spec)
    assert {field: found.get(field) for field in wanted} == wanted
    assert {reason.field for reason in plan.reasons if reason.why} >= {"model.id", "data.id", "rounds", "cohort.size"}
    assert all(found.get(reason.field) == reason.value for reason in plan.reasons)
    assert not any("Not understood" in note for note in plan.notes), plan.notes


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [
        (
            "fine-tune hf:acme/Tiny-LM.v2 on hf:acme/Letters, 4 nodes",
            {"model.id": "hf:acme/Tiny-LM.v2", "data.id": "hf:acme/Letters", "data.partition.kind": "iid"},
        ),
        ("train on hf:acme/Animals images with 5 nodes", {"data.id": "hf:acme/Animals", "model.id": "cifar10_cnn"}),
        ("hf:acme/Digits dataset, an MLP, non-iid", {"data.id": "hf:acme/Digits", "model.id": "mlp"}),
    ],
)
def test_data_sets_of_the_hub_are_named_and_what_is_wrong_with_them_is_said(
    goal: str, wanted: dict[str, Any], workload: Workload
) -> None:
    """None of these exists, and the Hub is out of reach."""
    plan = plan_by_rules(goal, workload)
    assert {field: Draft(plan.spec).get(field) for field in wanted} == wanted
    assert [problem.field for problem in plan.problems] == ["data.id"]


SIMULATED = ["simulate MNIST with 50 clients", "a dry run of digits on 20 nodes", "digits, 10 virtual clients"]


@pytest.mark.parametrize("goal", SIMULATED)
def test_a_simulation_is_told_from_a_task(goal: str, workload: Workload) -> None:
    assert planned(goal, workload).simulate
    assert not planned("digits on 4 nodes, not simulated", workload).simulate


NOTES = [
    ("digits with differential privacy, epsilon 3", "differential privacy"),
    ("digits, secure aggregation, 5 nodes", "secure aggregation"),
    ("asynchronous training of digits", "asynchronous training"),
    ("MNIST with a ResNet-18", "architecture"),
    ("digits, paint the results green", "Not understood, and so without effect: “paint the results green”"),
    ("digits with top-k compression of updates", "compression or quantisation"),
    ("digits on 5 nodes, 8 clients a round", "8 a round of 5"),
    ("digits, 3 nodes, bulyan", "protects from none"),
    ("digits with scaffold and fedprox", "contradict"),
    ("digits, 2 nodes, robust", "no rule can protect so few"),
    ("digits on 10 nodes with krum, 6 of them malicious", "at most"),
    ("digits, iid and very non-iid", "contradict"),
    ("digits, 5 rounds. No: 20 rounds", "contradict"),
    ("simulate a fine-tuning of SmolLM2 on Shakespeare, 4 nodes", "Simulations train models of the catalogue"),
    ("simulate our own images 3x32x32 with 2 classes", "on nodes"),
    ("fine-tune SmolLM2 on MNIST", "another model is chosen"),
    ("fine-tune SmolLM2 on my texts until 90% accuracy", "no accuracy"),
    ("digits by user on 5 nodes", "no users"),
    ("digits, 0 rounds", "rounds: 0 is not possible"),
    ("digits, learning rate 1000", "learning_rate: 1000 is not possible"),
    ("digits with FedProx mu 20 and learning rate 0.2", "overshoot"),
    ("digits with adam on the clients and momentum 0.9", "momentum is 0"),
    ("digits with scaffold, momentum 0.9", "momentum is 0"),
    ("digits, lora rank 8", "is for language models"),
    ("digits", "4 are assumed"),
    ("ten phones", "digits are assumed"),
    ("our own images, 10 nodes", "assumed"),
    ("our own images of 64x64, 3 classes", "no channels"),
    ("SmolLM2 on Shakespeare on 6 browser tabs", "Browser tabs train models of the catalogue alone"),
    ("digits on 4 nodes, every night at 2am", "schedules and conditions"),
    ("digits with sign-flip attacks, simulate with 10 clients", "run_simulation's own arguments"),
]  # fmt: skip


@pytest.mark.parametrize(("goal", "said"), NOTES, ids=[goal[:60] for goal, _ in NOTES])
def test_what_cannot_be_had_or_understood_is_said(goal: str, said: str, workload: Workload) -> None:
    assert said in " ".join(planned(goal, workload).notes)


@pytest.mark.parametrize(
    "goal",
    [
        "digits on 4 nodes without differential privacy",
        "digits on 4 nodes, no compression, no secure aggregation or homomorphic encryption",
        "digits on 4 nodes, synchronous",
    ],
)
def test_what_is_not_wanted_is_not_complained_of(goal: str, workload: Workload) -> None:
    assert not any("Not offered" in note for note in planned(goal, workload).notes)
