"""The vectors that the browser's engines are held against are what PyTorch makes of the models now."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from federation.examples import Examples
from federation.spec import TrainingSpec
from federation.training import train
from federation.weights import load_bytes
from resources.models.catalogue import model_of, models

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "web" / "tests" / "parity"


@pytest.fixture(scope="module")
def script() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "parity_vectors.py")))


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "vectors.json").read_text())
    return found


def test_every_model_of_the_catalogue_is_counted_and_trained_by_every_way_to_descend(committed, script):
    ids = {card.id for card in models()}

    assert {count["model"] for count in committed["counts"]} == ids
    assert len(committed["cases"]) == len(ids) * len(script.DESCENTS)


def test_the_committed_vectors_are_what_the_script_makes(committed, script):
    threads = torch.get_num_threads()
    try:
        found, files = script.vectors()
    finally:
        torch.set_num_threads(threads)

    # Other processors round otherwise: the same case is close, not equal.
    assert found["counts"] == committed["counts"]
    for made, kept in zip(found["cases"], committed["cases"], strict=True):
        for name in ("model", "options", "shape", "classes", "descent", "file", "correct"):
            assert made[name] == kept[name], (made["model"], name)
        assert made["losses"] == pytest.approx(kept["losses"], rel=2e-5)
        assert made["tensors"].keys() == kept["tensors"].keys()
        for name, tensor in made["tensors"].items():
            moved = tensor["moved"]
            assert moved == pytest.approx(kept["tensors"][name]["moved"], rel=1e-3)
            assert tensor["norm"] == pytest.approx(kept["tensors"][name]["norm"], rel=1e-4)
            assert tensor["sketch"] == pytest.approx(kept["tensors"][name]["sketch"], abs=2e-3 * moved)
    assert {path.name for path in (FOLDER / "files").iterdir()} == files.keys()
    for name, content in files.items():
        stored = load_bytes((FOLDER / "files" / name).read_bytes())
        for tensor, value in load_bytes(content).items():
            assert (value - stored[tensor]).norm() <= 1e-4 * value.norm(), (name, tensor)


@pytest.mark.parametrize("label", ["sgd", "proximal", "adam"])
def test_the_scripts_steps_are_those_of_a_nodes_training(script, label):
    """With all examples in one batch the shuffle does not matter."""
    model = next(model for model in script.MODELS if model.id == "mnist_cnn")
    how = script.DESCENTS[label]
    how = type(how)(how.optimizer, how.learningRate, how.momentum, how.weightDecay, how.proximal, script.EXAMPLES)
    weights = script.weights_of(model)
    net = model_of(model.id, weights, input_shape=model.shape, num_classes=model.classes, options=dict(model.options))
    spec = TrainingSpec(
        optimizer=how.optimizer,
        epochs=5,
        batch_size=how.batchSize,
        learning_rate=how.learningRate,
        momentum=how.momentum,
        weight_decay=how.weightDecay,
    )

    trained = train(net, Examples(*script.examples_of(model)), spec, seed=1, proximal=how.proximal)
    final, losses, _ = script.descend(model, how, steps=5)

    assert trained.loss == pytest.approx(losses[-1], rel=1e-5)
    for name, tensor in net.state_dict().items():
        assert (tensor - final[name]).norm() <= 1e-4 * tensor.norm(), name


def test_a_sketch_is_as_far_from_another_as_the_tensors_are(script):
    generator = torch.Generator().manual_seed(3)
    one, other = torch.randn(5000, generator=generator), torch.randn(5000, generator=generator)

    far = float(((script.sketch(one) - script.sketch(other)) ** 2).sum() ** 0.5)

    assert far == pytest.approx(float((one - other).norm()), rel=0.5)
    assert not (script.sketch(one) - script.sketch(one.clone())).any()
