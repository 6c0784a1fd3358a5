"""Low-rank adapters as tensors: which of a file's tensors are pairs of factors, and which part of them a node trains.

The global model of a task with a pretrained model is an adapter in the names that PEFT gives it. A layer's change is
scaling · B A with A [R, in] and B [out, R]; the scaling belongs to the task and is the same whatever the rank R. What
is no factor, a classifier's head, is trained whole. Light: nothing here needs more than a layout and slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from federation.errors import ErrorCode, Refused
from federation.layout import Layout, TensorInfo, layout_of, shown
from federation.weights import DELTA, Tensors, prefixed

PREFIX = "base_model.model."
"""What PEFT puts before a module's own name."""

_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Pair:
    """The two factors of a layer: `a` names A [rank, inputs], `b` names B [outputs, rank]."""

    module: str
    a: str
    b: str
    rank: int
    inputs: int
    outputs: int

    @classmethod
    def named(cls, module: str, *, rank: int, inputs: int, outputs: int) -> Pair:
        """The pair of a module, called as in the base model, e.g. model.layers.0.self_attn.q_proj."""
        return cls(module, f"{PREFIX}{module}{_A}", f"{PREFIX}{module}{_B}", rank, inputs, outputs)


def pairs_of(model: Layout) -> list[Pair]:
    """Every pair, by module. Refuses (bad_update) a layout that is none of an adapter: no pair, a factor without its
    other, shapes that make no product, a dtype other than float32."""
    modules = {name.removesuffix(_A).removesuffix(_B) for name in model if name.endswith((_A, _B))}
    if not modules:
        raise _malformed("there is no adapter: no tensor is called <module>.lora_A.weight.")
    for name, info in model.items():
        if info.dtype != "F32":
            raise _malformed(f"tensor {shown(name)} is {info.dtype}; adapters are F32, whatever the base model is.")
    return sorted((_pair(model, module) for module in modules), key=lambda pair: pair.module)


def head_of(model: Layout) -> Layout:
    """The tensors that are no factors: of sequence classification the head, else none."""
    return {name: info for name, info in sorted(model.items()) if not name.endswith((_A, _B))}


def trained_layout(model: Layout, *, rule: str, r: int, rank: int | None = None) -> Layout:
    """What a node of rank `rank` (default: r) trains of a version, and so what it sends, without `delta/`.

    Args:
        model: layout of the version.
        rule: the task's; under `ffa` A stays as it is.
        r: the task's rank. A version's rank R may be larger (`lora_stack`): its leading R - r directions stand.

    Refuses (bad_update) a rank that is not 1..r, and a version whose own rank is below r.
    """
    rank = _checked(rank, r)
    found = {}
    for pair in pairs_of(model):
        _start(pair, r)
        if rule != "ffa":
            found[pair.a] = TensorInfo("F32", (rank, pair.inputs))
        found[pair.b] = TensorInfo("F32", (pair.outputs, rank))
    return found | head_of(model)


def trained(model: Tensors, *, rule: str, r: int, rank: int | None = None) -> dict[str, torch.Tensor]:
    """The tensors of `trained_layout` themselves, cut out of a version: copies, contiguous.

    Of A rows, of B columns R - r .. R - r + rank.
    """
    rank, found = _checked(rank, r), {}
    layout = layout_of(model)
    for pair in pairs_of(layout):
        rows = slice(start := _start(pair, r), start + rank)
        if rule != "ffa":
            found[pair.a] = model[pair.a][rows].detach().clone()
        found[pair.b] = model[pair.b][:, rows].detach().clone(memory_format=torch.contiguous_format)
    return found | {name: model[name].detach().clone() for name in head_of(layout)}


def rank_of_update(update: Layout, model: Layout, *, rule: str, r: int) -> int:
    """The rank that an update, names with `delta/`, was trained at. Refuses (bad_update) one that is not the trained
    part of the version at one rank 1..r: other names, ranks that differ, other shapes, a dtype other than float32."""
    mend = "send local minus global of the part this node trained, named delta/<name>, in float32, "
    mend += f"of one rank 1..{r} in all layers" + (", and no A, which is frozen" if rule == "ffa" else "")
    first = pairs_of(model)[0]
    rank = _rank(update, first, r, mend)
    wanted = prefixed(trained_layout(model, rule=rule, r=r, rank=rank), DELTA)
    for name, info in wanted.items():
        if name not in update:
            raise Refused(ErrorCode.BAD_UPDATE, f"tensor {shown(name)} is missing.", mend)
        if update[name] != info:
            problem = f"tensor {shown(name)} is {update[name]}, where this update of rank {rank} wants {info}"
            problem += f": {shown(DELTA + first.b)} has rank {rank}." if name.endswith((_A, _B)) else "."
            raise Refused(ErrorCode.BAD_UPDATE, problem, mend)
    for name in sorted(update.keys() - wanted.keys()):
        frozen = name.removeprefix(DELTA) in model and name.endswith(_A)
        what = f"is frozen under {rule}." if frozen else "is none of those that are trained."
        raise Refused(ErrorCode.BAD_UPDATE, f"tensor {shown(name)} {what}", mend)
    return rank


def _rank(update: Layout, first: Pair, r: int, mend: str) -> int:
    name = DELTA + first.b
    if name not in update:
        raise Refused(ErrorCode.BAD_UPDATE, f"tensor {shown(name)} is missing.", mend)
    shape = update[name].shape
    if len(shape) != 2 or shape[0] != first.outputs:
        problem = f"tensor {shown(name)} is {update[name]}; B of this layer is [{first.outputs}, rank]."
        raise Refused(ErrorCode.BAD_UPDATE, problem, mend)
    if not 1 <= shape[1] <= r:
        raise Refused(ErrorCode.BAD_UPDATE, f"the update has rank {shape[1]}; this task takes 1..{r}.", mend)
    return shape[1]


def _pair(model: Layout, module: str) -> Pair:
    a, b = module + _A, module + _B
    for one, other in ((a, b), (b, a)):
        if one not in model:
            raise _malformed(f"factor {shown(other)} has no {shown(one)}.")
    left, right = model[b].shape, model[a].shape
    if not (len(left) == len(right) == 2 and left[1] == right[0] > 0 and left[0] > 0 and right[1] > 0):
        raise _malformed(f"{shown(b)} {list(left)} and {shown(a)} {list(right)} make no product B A.")
    return Pair(module.removeprefix(PREFIX), a, b, right[0], right[1], left[0])


def _checked(rank: int | None, r: int) -> int:
    if rank is None:
        return r
    if not 1 <= rank <= r:
        problem = f"a node cannot train rank {rank} of adapters of rank {r}."
        raise Refused(ErrorCode.BAD_UPDATE, problem, f"train a rank of 1..{r} (potluck join --rank)")
    return rank


def _start(pair: Pair, r: int) -> int:
    if pair.rank < r:
        raise _malformed(f"the adapter of {shown(pair.module)} has rank {pair.rank}, the task's is {r}.")
    return pair.rank - r


def _malformed(problem: str) -> Refused:
    mend = "give an adapter as PEFT saves it, <module>.lora_A.weight [rank, in] and <module>.lora_B.weight [out, rank]"
    return Refused(ErrorCode.BAD_UPDATE, problem, mend)
