"""A node builds what it received: whole models, or adapters on the very base that the task has pinned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edge_client.models import ANY_PRETRAINED, Models
from federation.errors import ErrorCode, Refused
from federation.model_spec import LoraSpec
from federation.spec import TaskSpec, parse_spec
from federation.weights import to_bytes
from resources.models.catalogue import models as catalogue
from resources.models.language.bases import pin
from resources.models.language.skeleton import initial_adapter

FIXTURES = Path(__file__).parents[1] / "fixtures"


def spec(**lora: Any) -> TaskSpec:
    model = {"id": "hf:tiny_llama", "lora": {"r": 4} | lora}
    return parse_spec({"name": "speeches", "model": model, "data": {"id": "shakespeare"}})


def assignment(task: TaskSpec) -> dict[str, Any]:
    return {"base": pin(task.model, FIXTURES).as_dict(), "input_shape": [32], "num_classes": 1024}


@pytest.fixture
def version(tmp_path: Path) -> Path:
    file = tmp_path / "version.safetensors"
    file.write_bytes(to_bytes(initial_adapter(spec().model, FIXTURES / "tiny_llama", seed=0)))
    return file


def test_a_node_names_the_catalogue_and_with_the_extra_any_pretrained_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(Models().known()) == {card.id for card in catalogue()} | {ANY_PRETRAINED}
    monkeypatch.setattr("edge_client.models.find_spec", lambda name: None)
    assert ANY_PRETRAINED not in Models().known()


def test_a_node_trains_as_many_ranks_as_it_is_told_to(version: Path) -> None:
    whole = Models(FIXTURES).receive(spec(), assignment(spec()), version)
    half = Models(FIXTURES, rank=2).receive(spec(), assignment(spec()), version)
    ranks = [{t.shape[0] for name, t in each.start.items() if "lora_A" in name} for each in (whole, half)]
    assert ranks == [{4}, {2}]
    assert whole.start.keys() == half.start.keys()
    for name, tensor in half.module.state_dict().items():
        assert torch.equal(tensor, half.start[name])


@pytest.mark.parametrize("rank", [0, 5])
def test_a_rank_that_the_task_does_not_have_is_refused(version: Path, rank: int) -> None:
    with pytest.raises(Refused, match=f"of rank {rank}, and the task's have rank 4") as refused:
        Models(FIXTURES, rank=rank).receive(spec(), assignment(spec()), version)
    assert refused.value.code is ErrorCode.INCOMPATIBLE_NODE


def test_ranks_are_of_adapters_alone() -> None:
    whole = parse_spec({"name": "digits", "model": {"id": "mlp"}, "data": {"id": "digits"}})
    Models().check(whole)
    with pytest.raises(Refused, match="mlp as a whole"):
        Models(rank=4).check(whole)


@pytest.mark.parametrize(("part", "says"), [("sha256", "weights"), ("tokenizer_sha256", "tokenizer")])
def test_a_base_that_is_not_the_tasks_is_refused(version: Path, part: str, says: str) -> None:
    told = assignment(spec())
    told["base"][part] = "0" * 64
    with pytest.raises(Refused, match=f"the {says} of tiny_llama") as refused:
        Models(FIXTURES).receive(spec(), told, version)
    assert refused.value.code is ErrorCode.HASH_MISMATCH


def test_without_the_base_a_node_says_where_it_looked(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    told = assignment(spec())
    with pytest.raises(Refused, match="tiny_llama"):
        Models(tmp_path).receive(spec(), told, version)


def test_the_folder_of_base_models_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POTLUCK_MODELS", str(FIXTURES))
    assert Models().root == FIXTURES
    assert Models(Path("elsewhere")).root == Path("elsewhere")


def test_the_default_adapters_are_those_of_the_spec() -> None:
    task = parse_spec({"name": "t", "model": {"id": "hf:tiny_llama"}, "data": {"id": "shakespeare"}})
    assert task.model.adapters == LoraSpec()
    assert task.aggregation.rule == "lora_exact"
