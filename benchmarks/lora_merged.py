"""Ways to merge adapters: `-m benchmarks.lora_merged FOLDER ADAPTERS LAYERS WAY=REPEATS …`. Figures that count
come from a process with one way.

It writes what each made into the folder, under the way's name: factors of every module, the scaling multiplied into B.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.lora_adapters import LORA, pairs, shares
from benchmarks.process import Peak, memory
from federation.adapters import PREFIX
from federation.aggregation.contributions import Contribution
from federation.aggregation.lora.averaging import cut
from federation.aggregation.lora.layers import AdapterUpdates
from federation.aggregation.rules import aggregate
from federation.spec import AggregationSpec
from federation.weights import DELTA, load, to_bytes

WAYS = {
    "lora_exact, the merge alone": False,
    "lora_exact": False,
    "lora_stack": False,
    "fedavg": False,
    "dense SVD": True,
    "PEFT svd": True,
    "PEFT linear": False,
    "PEFT cat": False,
}
"""With whether it forms a layer's whole matrix."""

Factors = dict[str, torch.Tensor]


def main(folder: Path, count: int, layers: int, repeats: Mapping[str, int]) -> None:
    """Prints, for each way, milliseconds, CPU milliseconds, bytes above the process and the result's largest rank."""
    torch.set_num_threads(1)
    print(json.dumps({way: measured(way, folder, count, layers, times) for way, times in repeats.items()}))


def measured(way: str, folder: Path, count: int, layers: int, repeats: int) -> dict[str, Any]:
    """A way's calls, the first of which does not count."""
    given = [Contribution(f"node-{i:04d}", "u", folder / f"{i:04d}", 100 + 20 * (i % 4), 20) for i in range(count)]
    match way.split():
        case ["PEFT", kind]:
            merge = _peft(kind, folder, given, layers)
        case ["dense", "SVD"]:
            merge = _dense(folder, given, layers)
        case [rule]:
            merge = _potluck(rule, folder, given)
        case _:
            merge = _merge_alone(folder, given)
    merge()
    gc.collect()
    before, ms, cpu_ms = memory(os.getpid()).rss, [], []
    with Peak(os.getpid(), every_s=60) as peak:  # the kernel keeps the mark
        for _ in range(repeats):
            began, spent = time.perf_counter(), time.process_time()
            made = merge()
            cpu_ms.append(1e3 * (time.process_time() - spent))
            ms.append(1e3 * (time.perf_counter() - began))
    (folder / way).write_bytes(to_bytes(made))
    rank = max(len(tensor) for name, tensor in made.items() if ".lora_A." in name)
    return {"ms": ms, "cpu_ms": cpu_ms, "above": peak.rss - before, "rank": rank}


def _potluck(rule: str, folder: Path, given: list[Contribution]) -> Callable[[], Factors]:
    """As the coordinator calls it: files are checked, and each update's norm and cosine are told."""
    spec = AggregationSpec.model_validate({"rule": rule})
    return lambda: _scaled(aggregate(spec, folder / "base", given, adapters=LORA).weights)


def _merge_alone(folder: Path, given: list[Contribution]) -> Callable[[], Factors]:
    """The part of it that makes the factors, reading included."""
    weights = torch.tensor(shares(given), dtype=torch.float64)

    def merge() -> Factors:
        updates = AdapterUpdates(folder / "base", [each.path for each in given], rule="lora_exact", r=LORA.r)
        made = [layer for layers in updates.layers() for layer in cut(layers, weights, LORA.r)]
        factors = {each.pair.a: each.a.float() for each in made} | {each.pair.b: each.b.float() for each in made}
        return _scaled(factors)

    return merge


def _scaled(factors: Factors) -> Factors:
    return {name: tensor * LORA.scaling if ".lora_B." in name else tensor for name, tensor in factors.items()}


def _dense(folder: Path, given: list[Contribution], layers: int) -> Callable[[], Factors]:
    """The mean of the products as a matrix, its SVD cut off: FlexLoRA's way, in float32, from tensors in memory."""
    locals_ = _local(folder, given)

    def merge() -> Factors:
        made = {}
        for pair in pairs(layers):
            mean = torch.zeros(pair.outputs, pair.inputs)
            for weight, factors in zip(shares(given), locals_, strict=True):
                mean += weight * LORA.scaling * (factors[pair.b] @ factors[pair.a])
            u, values, v = torch.linalg.svd(mean, full_matrices=False)
            root = values[: LORA.r].sqrt()
            made[pair.b], made[pair.a] = u[:, : LORA.r] * root, root[:, None] * v[: LORA.r]
        return made

    return merge


def _peft(kind: str, folder: Path, given: list[Contribution], layers: int) -> Callable[[], Factors]:
    """`add_weighted_adapter` on a model of nothing but the adapted layers, the adapters loaded before."""
    from peft import LoraConfig, LoraModel, set_peft_model_state_dict
    from peft.peft_model import PeftModel

    names = sorted({pair.module.rpartition(".")[2] for pair in pairs(layers)})
    config = LoraConfig(r=LORA.r, lora_alpha=LORA.alpha, target_modules=names)
    model = PeftModel(_skeleton(layers), config, adapter_name="0")
    for number, factors in enumerate(_local(folder, given)):
        if number:
            model.add_adapter(str(number), config)
        set_peft_model_state_dict(model, factors, adapter_name=str(number))
    tuner: Any = model.base_model
    assert isinstance(tuner, LoraModel)
    options: dict[str, Any] = {"svd_rank": LORA.r} if kind == "svd" else {}
    known = [str(number) for number in range(len(given))]

    def merge() -> Factors:
        if "merged" in tuner.peft_config:
            tuner.delete_adapter("merged")
        tuner.add_weighted_adapter(known, shares(given), "merged", combination_type=kind, **options)
        made = {}
        for pair in pairs(layers):
            module = model.get_submodule(f"{PREFIX}{pair.module}")
            made[pair.a] = module.lora_A["merged"].weight.detach()
            made[pair.b] = module.lora_B["merged"].weight.detach() * module.scaling["merged"]
        return made

    return merge


def _local(folder: Path, given: list[Contribution]) -> list[Factors]:
    """Every node's factors as they were after training."""
    base = load(folder / "base")
    updates = [load(each.path) for each in given]
    return [{name: tensor + update[DELTA + name] for name, tensor in base.items()} for update in updates]


def _skeleton(layers: int) -> nn.Module:
    """Modules called as in the real model, and nothing around them."""
    root = nn.Module()
    for pair in pairs(layers):
        at = root
        *path, last = pair.module.split(".")
        for step in path:
            if not hasattr(at, step):
                at.add_module(step, nn.Module())
            at = at.get_submodule(step)
        at.add_module(last, nn.Linear(pair.inputs, pair.outputs, bias=False))
    return root


if __name__ == "__main__":
    asked = {way: int(repeats) for way, _, repeats in (each.rpartition("=") for each in sys.argv[4:])}
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), asked)
