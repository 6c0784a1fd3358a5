"""Texts of a data set on the Hub, as a language model's task takes them: to write, and to classify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edge_client.data import load_share
from federation.spec import TaskSpec
from resources.datasets.shares import examples_per_node
from resources.models.language.tokenizers import load_tokenizer
from resources.workload import Workload
from tests.resources.hub.parquet_files import laid_out, parquet, writer

FIXTURES = Path(__file__).parents[2] / "fixtures"
MOODS = ["glad", "sad", "wild"]
CLASSIFY: dict[str, Any] = {"id": "hf:tiny_llama", "task": "sequence_classification"}


def moods(count: int) -> bytes:
    labels = [MOODS[place % 3] for place in range(count)]
    return parquet({"text": [f"I am {label}, said {place}" for place, label in enumerate(labels)], "label": labels})


@pytest.fixture
def workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workload:
    pytest.importorskip("peft")
    folder = laid_out(tmp_path, {"train.parquet": moods(30), "test.parquet": moods(6)})
    monkeypatch.setenv("POTLUCK_DATA", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return Workload(models=FIXTURES)


def settled(workload: Workload, model: dict[str, Any], **partition: Any) -> TaskSpec:
    data = {"partition": {"parts": 3, "min_examples": 2, **partition}, "text": {"max_length": 32, "packing": False}}
    spec = writer(data, **model)
    assert workload.check(spec) == []
    return workload.settle(spec)


def test_words_for_labels_are_the_classes_that_a_model_judges_by(workload: Workload) -> None:
    spec = settled(workload, CLASSIFY, kind="shards", shards_per_part=1)
    base = workload.pin(spec)
    assert base is not None
    assert workload.schema_for(spec, base) == ((32,), 3)
    weights = workload.initial_weights(spec, base)
    scores = workload.evaluate(spec, weights, base)
    assert scores is not None
    assert (scores.num_examples, len(scores.per_class_accuracy)) == (6, 3)
    labels, probabilities = workload.predict(spec, weights, ["I am glad"], base)
    assert (len(labels), len(probabilities[0])) == (1, 3)
    share = load_share(spec, 0, None, lambda: load_tokenizer(FIXTURES / "tiny_llama", None))
    assert len(share.train) + len(share.held_out) == 10
    assert len(set(torch.cat([share.train.y, share.held_out.y]).tolist())) == 1  # one shard of one label
    assert examples_per_node(spec) == 9


def test_the_same_texts_are_written_by_a_model_that_writes(workload: Workload) -> None:
    spec = settled(workload, {"id": "hf:tiny_llama"})
    assert spec.data.pin is not None
    assert (spec.data.pin.columns.x, spec.data.pin.labels, spec.data.pin.num_classes) == ("text", None, None)
    base = workload.pin(spec)
    assert base is not None
    scores = workload.evaluate(spec, workload.initial_weights(spec, base), base)
    assert scores is not None
    assert scores.accuracy is None
    assert scores.loss > 0
    assert workload.estimate(spec).flops_per_round_per_node is not None


def test_a_cut_by_classes_needs_labels(workload: Workload) -> None:
    data = {"partition": {"kind": "shards", "parts": 3, "min_examples": 2}}
    (problem,) = workload.check(writer(data, id="hf:tiny_llama"))
    assert "shards cuts by classes, and the texts of hf:acme/things have none" in problem.problem
