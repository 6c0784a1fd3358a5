"""Threads that build and read models at once leave one another's, and PyTorch itself, alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from families import make, some_adapter, some_ids, spec
from torch import nn

from resources.models.catalogue import create_model
from resources.models.language.adapter_model import load_adapter_model
from resources.models.language.loaded import forget
from resources.models.language.skeleton import adapter_layout


def at_once(*jobs: Callable[[], object]) -> None:
    """Runs them in threads that begin together; what one of them raises is raised here."""
    begin, raised = threading.Barrier(len(jobs)), []

    def run(job: Callable[[], object]) -> None:
        begin.wait(30)
        try:
            job()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if raised:
        raise raised[0]


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_models_built_at_once_are_those_built_alone(tmp_path: Path, dtype: str | None) -> None:
    base, ids = make(tmp_path / "base"), some_ids()
    model = spec("base").model_copy(update={"dtype": dtype})
    weights = some_adapter(adapter_layout(model, base))
    register, default = nn.Module.register_parameter, torch.get_default_dtype()

    def logits() -> torch.Tensor:
        network = load_adapter_model(model, base, weights, rule="lora_exact").eval()
        with torch.inference_mode():
            found: torch.Tensor = network(ids)
        return found

    def image() -> torch.Tensor:
        return create_model("mlp", input_shape=(1, 8, 8), num_classes=10, seed=3).state_dict()["hidden.weight"]

    alone, image_alone = logits(), image()
    found: list[torch.Tensor] = []
    images: list[torch.Tensor] = []
    for _ in range(4):
        forget()  # so that one of them reads the base while the others build
        at_once(*[lambda: found.append(logits())] * 3, lambda: images.extend(image() for _ in range(20)))
    assert len(found) == 12
    assert all(torch.equal(each, alone) for each in found)
    assert all(torch.equal(each, image_alone) for each in images)
    assert nn.Module.register_parameter is register
    assert torch.get_default_dtype() is default
    assert nn.Linear(2, 2).weight.device == torch.device("cpu")
