"""lora_stack over several rounds: nothing is lost, and the rank has an end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from federation.aggregation.lora.averaging import fresh_rows
from federation.model_spec import LoraSpec
from federation.weights import layout_of, to_bytes
from tests.federation.aggregation.lora.small_adapters import (
    LAYERS,
    Round,
    draw_update,
    draw_version,
    gap,
    mean_of_products,
    product,
)

R = 4


def rounds(count: int, ranks: Sequence[int], *, seed: int = 0) -> list[tuple[Round, dict[str, torch.Tensor], float]]:
    """So many rounds, each from the version before: the round, the next version, its `lora_rank`."""
    version, found = draw_version(seed, R, b=0.0, head=True), []
    for number in range(count):
        updates = [draw_update(50 * number + i, version, R, rank) for i, rank in enumerate(ranks)]
        small = Round(version, updates, lora=LoraSpec(r=R, alpha=8), counts=[1 + i for i in range(len(ranks))])
        done = small.run("lora_stack", seed=1000 + number)
        assert done.metrics["lora_error"] < 1e-12
        found.append((small, done.weights, done.metrics["lora_rank"]))
        version = done.weights
    return found


def test_three_rounds_add_up_to_the_dense_means_without_loss() -> None:
    ranks = [4, 2, 3]
    total = {name: torch.zeros(1) for name in draw_version(0, R) if "lora_A" in name}
    for number, (small, version, _) in enumerate(rounds(3, ranks)):
        with small:
            weights = [1 / 6, 2 / 6, 3 / 6]
            for name, mean in mean_of_products(small, weights).items():
                assert gap(product(version, name), mean) < 3e-7
                start = small.version[name].shape[0] - R
                for weight, update, rank in zip(weights, small.updates, ranks, strict=True):
                    a = small.version[name][start : start + rank].double() + update[name].double()
                    b = update[name.replace("_A", "_B")].double()
                    total[name] = total[name] + weight * b @ a
                assert gap(product(version, name), total[name]) < 1e-6 * (number + 1)


def test_the_rank_grows_by_what_was_learnt_and_ends_at_the_layers_own() -> None:
    played = rounds(4, [4, 2])
    for number, (small, version, rank) in enumerate(played, start=1):
        small.__exit__()
        ranks = {
            name.removeprefix("base_model.model.").removesuffix(".lora_A.weight"): tensor.shape[0] - R
            for name, tensor in version.items()
            if "lora_A" in name
        }
        assert ranks == {name: min(6 * number, *shape) for name, shape in LAYERS.items()}
        assert rank == max(ranks.values())
    assert {rank for _, _, rank in played} == {6.0, 12.0, 18.0, 24.0}


def test_every_version_ends_with_a_fresh_start_of_its_round_that_adds_nothing_yet() -> None:
    played = rounds(2, [4, 4])
    starts = []
    for number, (small, version, _) in enumerate(played):
        small.__exit__()
        for name in (name for name in version if "lora_A" in name):
            start = version[name][-R:]
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            assert torch.equal(start, fresh_rows(1000 + number, module, R, start.shape[1]).float())
            assert not version[name.replace("_A", "_B")][:, -R:].any()
            starts.append(start.flatten()[:4].tolist())
    assert len({tuple(start) for start in starts}) == len(starts), "rounds and layers draw unlike starts"


def test_a_fresh_start_is_uniform_within_what_peft_draws() -> None:
    a = fresh_rows(0, "q", 200, 64)
    assert float(a.abs().max()) <= 1 / 8
    assert float(a.abs().max()) > 0.99 / 8
    assert float(a.var()) == pytest.approx(1 / 64 / 3, rel=0.05)


def test_a_round_in_which_nobody_moved_has_only_its_fresh_start() -> None:
    version = draw_version(0, R, b=0.0)
    still = {name: torch.zeros_like(tensor) for name, tensor in version.items()}
    with Round(version, [still, still], lora=LoraSpec(r=R)) as small:
        done = small.run("lora_stack")
    assert layout_of(done.weights) == layout_of(version)
    assert (done.metrics["lora_rank"], done.metrics["lora_error"]) == (0.0, 0.0)


def test_the_same_seed_gives_the_same_bits_and_another_another_start() -> None:
    version = draw_version(0, R, b=0.0)
    with Round(version, [draw_update(0, version, R, 2)], lora=LoraSpec(r=R)) as small:
        one, again, other = (to_bytes(small.run("lora_stack", seed=seed).weights) for seed in (1, 1, 2))
    assert one == again != other
