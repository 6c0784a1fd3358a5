"""Two node processes fine-tune a real, if tiny, language model; what they send each other is adapters."""

from __future__ import annotations

import json
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from machine import Machine

from tests.processes import gone

FIXTURES = Path(__file__).parents[1] / "fixtures"
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]


@pytest.fixture(autouse=True)
def small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base model and the speeches that lie in the repository, for every process."""
    monkeypatch.setenv("POTLUCK_MODELS", str(FIXTURES))
    monkeypatch.setenv("POTLUCK_DATA", str(FIXTURES))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "name": "speeches",
        "model": {"id": "hf:tiny_llama", "lora": {"r": 8, "alpha": 16, "target_modules": ["q_proj", "v_proj"]}},
        "data": {
            "id": "shakespeare",
            "partition": {"kind": "natural", "users": "largest", "parts": 2},
            "text": {"max_length": 64},
        },
        "training": {"optimizer": "adam", "learning_rate": 0.003, "batch_size": 8, "max_steps": 30},
        "cohort": {"size": 2, "min_nodes": 2, "quorum": 2},
        "evaluation": {"examples": 32},
        "rounds": 3,
        "seed": 7,
    } | changes


async def begun(machine: Machine, name: str, nodes: list[tuple[str, ...]], **changes: Any) -> str:
    """A task that these nodes train."""
    task = await machine.call("create_task", spec=spec(**changes), request_id=f"speeches-{name}")
    token = await machine.node_token()
    for number, flags in enumerate(nodes):
        machine.start_node(f"{name}-{number}", task["task_id"], token, "--data", "shakespeare", *flags)
    return str(task["task_id"])


async def finished(machine: Machine, task_id: str) -> dict[str, Any]:
    return await machine.wait_for(task_id, lambda task: task["state"] == "finished")


async def test_two_nodes_of_different_rank_learn_more_together_than_the_base_knows_or_either_alone(
    machine: Machine, tmp_path: Path
) -> None:
    machine.start_server()
    task_id = await begun(machine, "both", [("--index", "0"), ("--index", "1", "--rank", "4")])
    lonely = [await begun(machine, f"alone-{index}", [("--index", str(index))], cohort={"size": 1}) for index in (0, 1)]
    done = await finished(machine, task_id)
    alone = [(await finished(machine, task))["rounds"][-1]["loss"] for task in lonely]
    base = (await machine.call("evaluate_model", task_id=task_id, version=0))["loss"]
    losses = [each["loss"] for each in done["rounds"]]
    print(f"base {base:.4f}, alone {alone[0]:.4f} and {alone[1]:.4f}, together {losses}")
    assert losses[-1] < min(base, *alone)
    assert losses[-1] < losses[0] < base

    scores = await machine.call("evaluate_model", task_id=task_id)
    assert scores["accuracy"] is None
    assert scores["loss"] == pytest.approx(losses[-1], rel=1e-5)
    assert scores["perplexity"] == pytest.approx(torch.tensor(scores["loss"]).exp().item(), rel=1e-5)

    before, after = [
        (await machine.call("predict", task_id=task_id, version=version, inputs=["My lord,"], max_tokens=16))["texts"][
            0
        ]
        for version in (0, 3)
    ]
    assert before["text"] != after["text"]
    assert 0 < after["tokens"] <= 16

    carried = machine.bulk_bytes()
    assert sum(carried.values()) < 2e6, "the base, of 1.7 MB, never travels"

    await _loads_in_peft(machine, task_id, tmp_path)


async def _loads_in_peft(machine: Machine, task_id: str, folder: Path) -> None:
    """What `potluck export` writes is, to PEFT and transformers, the model that the server has."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for name, flags in (("adapters", []), ("merged", ["--merged"])):
        arguments = ["export", machine.url, task_id, str(folder / name), *flags]
        machine.children.start(f"export-{name}", arguments, {"POTLUCK_TOKEN": machine.operator})
        machine.children.wait(f"export-{name}", timeout=120)
    base = AutoModelForCausalLM.from_pretrained(FIXTURES / "tiny_llama", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(FIXTURES / "tiny_llama")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by a deprecated name
        adapted = PeftModel.from_pretrained(base, folder / "adapters").eval()
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32).eval()
    ids = tokenizer("My lord,", return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(merged(**ids).logits, adapted(**ids).logits, rtol=0, atol=1e-4)
        written = adapted.generate(**ids, max_new_tokens=16, do_sample=False)[0, ids["input_ids"].shape[1] :]
    said = (await machine.call("predict", task_id=task_id, inputs=["My lord,"], max_tokens=16))["texts"][0]
    assert tokenizer.decode(written, skip_special_tokens=True) == said["text"]


async def test_a_node_killed_in_mid_round_goes_on_with_its_optimisers_state_to_the_same_bits(machine: Machine) -> None:
    machine.start_server()
    token = await machine.node_token()
    changes: dict[str, Any] = {"cohort": {"size": 1}, "rounds": 1, "evaluation": {"server": False}}
    changes["training"] = spec()["training"] | {"max_steps": 12}
    changes["model"] = {"id": "hf:tiny_llama", "lora": {"r": 4, "dropout": 0.1}, "dtype": "bfloat16"}
    task_ids = [
        (await machine.call("create_task", spec=spec(**changes), request_id=f"killed-{time}"))["task_id"]
        for time in ("never", "once")
    ]
    flags = ("--index", "0", "--checkpoint-every", "0")
    machine.start_node("steady", task_ids[0], token, *flags)
    steady = await machine.wait_for(task_ids[0], lambda task: task["state"] == "finished")

    machine.start_node("mortal", task_ids[1], token, *flags, fault="kill@node_checkpoint_written:7")
    await gone(machine.children.pid("mortal"))
    assert machine.children.kill("mortal", 0) == -signal.SIGKILL
    machine.start_node("mortal", task_ids[1], token, *flags)
    mortal = await machine.wait_for(task_ids[1], lambda task: task["state"] == "finished")
    assert "going on after step 7 of 12" in machine.children.log("mortal").read_text()
    assert mortal["model"]["sha256"] == steady["model"]["sha256"]
    assert mortal["model"]["size"] == steady["model"]["size"]


async def test_two_nodes_learn_to_classify_texts_of_their_own(machine: Machine, tmp_path: Path) -> None:
    said = {0: ("good", "kind", "sweet", "fair"), 1: ("foul", "cruel", "vile", "false")}
    for node in range(2):
        rows = [
            {"text": f"Thou art {said[label][(n + node) % 4]} and {said[label][n % 4]}, my lord.", "label": label}
            for n in range(24)
            for label in said
        ]
        (tmp_path / f"own-{node}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    machine.start_server()
    changes: dict[str, Any] = {
        "model": {"id": "hf:tiny_llama", "task": "sequence_classification", "lora": {"r": 4}},
        "data": {"id": "own", "num_classes": 2, "holdout": 0.25, "text": {"max_length": 24}},
        "training": {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 8, "epochs": 2},
        "evaluation": {},
    }
    task = await machine.call("create_task", spec=spec(**changes), request_id="classify")
    token = await machine.node_token()
    for node in range(2):
        machine.start_node(f"own-{node}", task["task_id"], token, "--data", str(tmp_path / f"own-{node}.jsonl"))
    scored = await machine.wait_for(task["task_id"], lambda task: task["rounds"][-1]["node_accuracy"] is not None)
    assert scored["state"] == "finished"
    assert scored["rounds"][-1]["node_accuracy"] >= 0.9
    answer = await machine.call(
        "predict",
        task_id=task["task_id"],
        inputs=["Thou art sweet and kind, my lord.", "Thou art vile and false, my lord."],
    )
    assert answer["labels"] == [0, 1]
    assert answer["texts"] == []
    exported = await machine.call("export_model", task_id=task["task_id"])
    assert json.loads(exported["files"]["adapter_config.json"])["task_type"] == "SEQ_CLS"
