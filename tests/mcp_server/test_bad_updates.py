"""Bytes that are no update of the model: refused whichever way they come, and gone afterwards."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import save

from tests.mcp_server.raw_node import RawNode, cohort, packed, sha256, zeros
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import Served

pytestmark = pytest.mark.anyio
LANES = ("raw", "chunks", "inline")


@pytest.fixture(scope="module")
async def member(served: Served) -> RawNode:
    """One of the two that a round waits for; nothing it sends here is accepted, so the round stays open."""
    return (await cohort(served))[0]


def changed(name: str, tensor: torch.Tensor | None) -> bytes:
    """A delta of zeros with one tensor replaced, added, or left out (None)."""
    tensors = zeros()
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    return save(tensors)


def with_header(header: bytes, *, length: int | None = None, values: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + values


def spoilt(value: float, *, dtype: torch.dtype = torch.float32) -> bytes:
    weight = torch.zeros(10, 64, dtype=dtype)
    weight[9, 63] = value
    return changed("delta/output.weight", weight)


BIAS, WEIGHT = "delta/output.bias", "delta/output.weight"
ENTRY = {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}
HUGE = {"dtype": "F32", "shape": [1 << 30, 4], "data_offsets": [0, 1 << 34]}
OVERLAP = {BIAS: ENTRY, "delta/other": ENTRY}
TWICE = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "a wrong shape": (lambda: changed(WEIGHT, torch.zeros(64, 10)), "output.weight"),
    "a flattened tensor": (lambda: changed(WEIGHT, torch.zeros(640)), "output.weight"),
    "another dtype": (lambda: changed(WEIGHT, torch.zeros(10, 64, dtype=torch.float64)), "F64"),
    "half precision": (lambda: changed(BIAS, torch.zeros(10, dtype=torch.float16)), "F16"),
    "whole numbers": (lambda: changed(BIAS, torch.zeros(10, dtype=torch.int32)), "I32"),
    "a missing tensor": (lambda: changed(BIAS, None), "missing"),
    "an extra tensor": (lambda: changed("delta/extra", torch.zeros(3)), "extra"),
    "auxiliary tensors nobody asked for": (lambda: changed("aux/output.bias", torch.zeros(10)), "aux/"),
    "names without delta/": (lambda: save({"output.weight": torch.zeros(10, 64), "output.bias": torch.zeros(10)}), ""),
    "no tensor at all": (lambda: save({}), "missing"),
    "NaN": (lambda: spoilt(float("nan")), "output.weight"),
    "infinity": (lambda: spoilt(float("inf")), "output.weight"),
    "negative infinity": (lambda: spoilt(float("-inf")), "output.weight"),
    "a truncated file": (lambda: packed()[:-1], ""),
    "a file cut in its header": (lambda: packed()[:40], "header"),
    "seven bytes": (lambda: b"1234567", ""),
    "a byte too many": (lambda: packed() + b"\0", ""),
    "text": (lambda: b"these are not the tensors that you are looking for", ""),
    "a pickle": (lambda: b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00" + b"cos\nsystem\n(S'true'\ntR.", "header"),
    "a header of gigabytes": (lambda: with_header(b"{}", length=8 << 30), "header"),
    "a header of 2^64 - 1 bytes": (lambda: with_header(b"{}", length=2**64 - 1), "header"),
    "a tensor of gigabytes": (lambda: with_header(json.dumps({BIAS: HUGE}).encode()), ""),
    "overlapping tensors": (lambda: with_header(json.dumps(OVERLAP).encode(), values=bytes(40)), "overlaps"),
    "a name twice": (lambda: with_header(TWICE, values=b"\0"), "twice"),
    "a header that is a list": (lambda: with_header(b"[]      "), ""),
    "a deeply nested header": (lambda: with_header(b'{"a":' * 9_000), ""),
    "NaN in the header": (lambda: with_header(b'{"a":NaN}'), ""),
}


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("kind", BAD)
async def test_bytes_that_do_not_fit_the_model_are_refused_and_gone(
    served: Served, member: RawNode, kind: str, lane: str
) -> None:
    make, says = BAD[kind]
    data = make()
    if lane == "inline":
        async with refused(served, "bad_update", says=says, touches={"uploads"}):
            await member.submit_inline(data)
    else:
        begun = await member.begin(data)
        if lane == "raw":
            await member.put(begun["url"], data)
        else:
            await member.chunk(begun["upload_id"], 0, data)
        async with refused(served, "bad_update", says=says, touches={"uploads"}, frees=True):
            await member.submit(data, begun["upload_id"])
    assert not served.federation.shared.spool.has(sha256(data))


async def test_a_norm_above_the_bound_is_refused_with_the_factor_that_mends_it(served: Served) -> None:
    (node,) = await cohort(served, 1, aggregation={"max_update_norm": 1.0})
    async with refused(served, "bad_update", says="exceeds the task's bound", touches={"uploads"}):
        await node.submit_inline(packed(value=1.0))
    scaled = packed(value=0.999 / 650**0.5)
    assert (await node.submit_inline(scaled))["receipt"]["sha256"] == sha256(scaled)


async def test_an_update_larger_than_the_model_allows_is_refused_before_its_bytes_are_sent(
    served: Served, member: RawNode
) -> None:
    for size in (2 << 20, 2**40):
        async with refused(served, "too_large", says=str(size)):
            await member.begin(b"", size=size, sha256="0" * 64)


@pytest.mark.parametrize("size", [0, -1, 2**40 + 1, 1.5, "many"])
async def test_a_size_that_no_file_has_is_refused(served: Served, member: RawNode, size: object) -> None:
    async with refused(served, "invalid_argument", says="size"):
        await member.begin(b"x", size=size)


@pytest.mark.parametrize(
    "digest", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "../" * 21 + "x", "0" * 63 + "\n", "٠" * 64]
)
async def test_a_digest_that_is_none_is_refused(served: Served, member: RawNode, digest: str) -> None:
    async with refused(served, "invalid_argument", says="sha256"):
        await member.begin(b"x", sha256=digest)


@pytest.mark.parametrize(("values", "code"), [(16_000, "too_large"), (40_000, "invalid_argument")])
async def test_an_inline_update_above_the_bound_is_refused(
    served: Served, member: RawNode, values: int, code: str
) -> None:
    data = changed("delta/padding", torch.zeros(values))  # a little more than 64 KiB, and much more
    async with refused(served, code, says="inline_b64"):
        await member.submit_inline(data)


@pytest.mark.parametrize("text", ["!!!!", "AAA", "A", "AAAA\n", "AA-_"])
async def test_inline_bytes_that_are_no_base64_are_refused(served: Served, member: RawNode, text: str) -> None:
    async with refused(served, "invalid_argument", says="inline_b64"):
        await member.submit_inline(packed(), inline_b64=text)


async def test_inline_bytes_in_letters_outside_ascii_are_refused(served: Served, member: RawNode) -> None:
    async with refused(served, "invalid_argument", says="inline_b64"):
        await member.submit_inline(packed(), inline_b64="é" * 4)
