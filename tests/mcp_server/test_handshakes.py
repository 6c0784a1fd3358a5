"""A node is its key: who may speak for one, and for how long."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from federation.identity import b64url
from tests.mcp_server.raw_node import CAPABILITIES, RawNode, cohort, enrolled, packed
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio


async def stranger(served: Served, **token: Any) -> RawNode:
    """A node with an enrolment token that has not shaken hands."""
    return RawNode(served, served.rpc((await served.token("node", **token)).secret))


async def test_a_challenge_alone_stores_nothing(served: Served) -> None:
    node = await stranger(served)
    before = await served.snapshot()
    assert (await node.hello())["challenge"] != (await node.hello())["challenge"]
    assert await served.snapshot() == before


async def test_a_repeated_answer_gets_the_same_token_and_fences_nobody(served: Served) -> None:
    node = await stranger(served)
    proof = await node.proof()
    first = await node.hello(**proof)
    before = await served.snapshot()
    assert await node.hello(**proof) == first
    assert await served.snapshot() == before


async def test_a_newer_process_with_the_key_fences_the_older_one_from_every_tool(served: Served) -> None:
    older, _ = await cohort(served)
    begun = await older.begin(packed())
    newer = await RawNode(served, older.rpc, older.key).shake_hands()
    assert newer.node_id == older.node_id
    where = older.where
    for call in (
        older.join(older.task_id),
        older.begin(packed()),
        older.chunk(begun["upload_id"], 0, b"x"),
        older.submit_inline(packed()),
        older.call("report_progress", task_id=where["task_id"], round=1),
        older.call("report_progress", task_id=where["task_id"], round=1, phase="leaving"),
    ):
        async with refused(served, "fenced"):
            await call
    assert (await newer.join(older.task_id))["action"] == "train"


async def test_an_older_challenge_does_not_bring_the_older_process_back(served: Served) -> None:
    older = await stranger(served)
    used, unused = await older.proof(), await older.proof()
    await older.hello(**used)
    newer = await RawNode(served, older.rpc, older.key).shake_hands()
    for replayed in (used, unused):
        async with refused(served, "bad_challenge", says="newer process"):
            await older.hello(**replayed)
    await newer.join(await served.task())


async def test_a_challenge_of_another_key_is_refused(served: Served) -> None:
    one, other = await stranger(served), await stranger(served)
    proof = await one.proof()
    async with refused(served, "bad_challenge", says="another key"):
        await other.hello(**proof)


async def test_a_challenge_past_its_end_is_refused(served: Served) -> None:
    node = await stranger(served)
    proof = await node.proof()
    with served.clock.later(121):
        async with refused(served, "bad_challenge", says="expired"):
            await node.hello(**proof)
    assert (await node.hello(**proof))["status"] == "accepted"


@pytest.mark.parametrize("forge", ["{}x", "x{}", "", "a.b", "é", "{}.{}", "\x00"])
async def test_a_forged_challenge_is_refused(served: Served, forge: str) -> None:
    node = await stranger(served)
    proof = await node.proof()
    challenge = forge.format(proof["challenge"], "x")
    async with refused(served, "bad_challenge", says="not issued by this server"):
        await node.hello(**proof | {"challenge": challenge})


async def test_a_challenge_of_another_server_is_refused(served: Served, tmp_path: Path) -> None:
    node = await stranger(served)
    async with serving(tmp_path) as elsewhere:
        proof = await RawNode(elsewhere, elsewhere.rpc((await elsewhere.token("node")).secret), node.key).proof()
    async with refused(served, "bad_challenge", says="not issued by this server"):
        await node.hello(**proof | {"audience": served.host})


@pytest.mark.parametrize("signature", ["", "AAAA", "A" * 86, "é", "!"])
async def test_a_bad_signature_of_the_challenge_is_refused(served: Served, signature: str) -> None:
    node = await stranger(served)
    async with refused(served, "bad_signature"):
        await node.hello(**await node.proof() | {"signature": signature})


async def test_a_challenge_without_a_signature_is_refused(served: Served) -> None:
    node = await stranger(served)
    challenge = (await node.hello())["challenge"]
    async with refused(served, "bad_signature", says="needs its signature"):
        await node.hello(challenge=challenge)


@pytest.mark.parametrize(
    "audience",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "potluck", "@127.0.0.1", "localhost.", "::1"],
)
async def test_a_proof_for_another_host_is_refused(served: Served, audience: str) -> None:
    node = await stranger(served)
    async with refused(served, "bad_challenge", says="not called"):
        await node.hello(audience=audience)


@pytest.mark.parametrize("audience", ["127.0.0.1:80@evil.example", "localhost:x@evil.example:80", "[::1].evil.example"])
async def test_a_proof_for_a_host_that_only_looks_like_this_one_is_refused(served: Served, audience: str) -> None:
    node = await stranger(served)
    async with refused(served, "bad_challenge", says="not called"):
        await node.hello(audience=audience)


async def test_a_proof_for_one_name_of_the_server_is_none_for_another(served: Served) -> None:
    node = await stranger(served)
    proof = await node.proof(audience="localhost")
    async with refused(served, "bad_signature"):
        await node.hello(**proof | {"audience": "127.0.0.1"})


KEY = {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": b64url(bytes([1] + [0] * 31))}}


@pytest.mark.parametrize(
    "public_key",
    [
        {},
        {"alg": "rsa", "jwk": {}},
        {"alg": ["ed25519"], "jwk": {}},
        {"alg": "ed25519", "jwk": "text"},
        {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519"}},
        {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": 7}},
        {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "é"}},
        {"alg": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 100_000}},
        {"alg": "ed25519", "jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
        {"alg": "p256", "jwk": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}},
        KEY,
    ],
    ids=range(11),
)
async def test_a_key_that_is_none_is_refused(served: Served, public_key: dict[str, Any]) -> None:
    node = await stranger(served)
    async with refused(served, "invalid_argument", says="public_key"):
        await node.hello(public_key=public_key)


async def test_a_p256_key_enrols_as_well(served: Served) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    x, y = (b64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    public = {"alg": "p256", "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}}
    node = await stranger(served)
    challenge = await node.hello(public_key=public)
    r, s = decode_dss_signature(key.sign(challenge["sign"].encode(), ec.ECDSA(hashes.SHA256())))
    signature = b64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    welcome = await node.hello(public_key=public, challenge=challenge["challenge"], signature=signature)
    assert welcome["status"] == "accepted"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"codecs": ["zstd"]}, "incompatible_node"),
        ({"codecs": []}, "incompatible_node"),
        ({"codecs": "none"}, "invalid_argument"),
        ({"memory_bytes": -1}, "invalid_argument"),
        ({"runtime": "x" * 41}, "invalid_argument"),
        ({"device": None}, "invalid_argument"),
        ({"methods": ["x"] * 41}, "invalid_argument"),
    ],
    ids=str,
)
async def test_capabilities_that_do_not_fit_are_refused(served: Served, changes: dict[str, Any], code: str) -> None:
    node = await stranger(served)
    async with refused(served, code):
        await node.shake_hands(capabilities=CAPABILITIES | changes)


@pytest.mark.parametrize("missing", ["methods", "model_ids"])
async def test_a_node_that_cannot_train_the_task_is_told_so(served: Served, missing: str) -> None:
    node = await stranger(served)
    await node.shake_hands(capabilities=CAPABILITIES | {missing: ["something-else"]})
    task_id = await served.task()
    async with refused(served, "incompatible_node", says="something-else"):
        await node.join(task_id)


async def test_capabilities_are_bounded_in_size(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        node = await stranger(served)
        async with refused(served, "too_large", says="capabilities"):
            await node.shake_hands(capabilities=CAPABILITIES | {"gpu": "x" * 2_000_000})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, [[[[]]]]], ids=["nan", "inf", "big", "nested"])
async def test_no_capability_makes_the_list_of_nodes_unreadable(served: Served, value: object) -> None:
    node = await stranger(served)
    await node.shake_hands(capabilities=CAPABILITIES | {"gflops": value})
    assert node.node_id in str(await (await served.operator()).read("potluck://nodes"))


@pytest.mark.parametrize("name", ["x" * 81, "a\nb", "\x1b[31m", "a\x00"])
async def test_a_name_that_could_garble_a_terminal_is_refused(served: Served, name: str) -> None:
    node = await stranger(served)
    async with refused(served, "invalid_argument", says="name"):
        await node.hello(name=name)


async def test_a_token_enrols_no_more_nodes_than_it_may_but_lets_them_return(served: Served) -> None:
    token = await served.token("node", max_nodes=2)
    first = await enrolled(served, token.secret)
    await enrolled(served, token.secret)
    third = RawNode(served, served.rpc(token.secret))
    async with refused(served, "enrolment_full", says="2 nodes"):
        await third.shake_hands()
    await RawNode(served, first.rpc, first.key).shake_hands()


async def test_of_many_nodes_at_once_a_token_enrols_just_as_many_as_it_may(served: Served) -> None:
    token = await served.token("node", max_nodes=3)
    answers = await asyncio.gather(*(enrolled(served, token.secret) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(answer, RawNode) for answer in answers) == 3


async def test_a_node_enrolled_under_another_token_needs_room_under_this_one(served: Served) -> None:
    full = await served.token("node", max_nodes=1)
    await enrolled(served, full.secret)
    node = await enrolled(served)
    async with refused(served, "enrolment_full"):
        await RawNode(served, served.rpc(full.secret), node.key).shake_hands()


async def test_an_answer_repeated_under_another_token_is_no_repetition(served: Served) -> None:
    full = await served.token("node", max_nodes=1)
    await enrolled(served, full.secret)
    node = await stranger(served)
    proof = await node.proof()
    await node.hello(**proof)
    node.rpc = served.rpc(full.secret)
    async with refused(served, "bad_challenge"):
        await node.hello(**proof)
    async with refused(served, "enrolment_full"):
        await node.hello(**await node.proof())


async def test_a_node_token_is_worth_nothing_under_another_bearer_token(served: Served) -> None:
    node = await enrolled(served)
    node.rpc = served.rpc((await served.token("node")).secret)
    task_id = await served.task()
    async with refused(served, "bad_node_token"):
        await node.join(task_id)


@pytest.mark.parametrize("forge", ["{}x", "x{}", "a.b", "é", "{{}}"])
async def test_a_forged_node_token_is_refused(served: Served, forge: str) -> None:
    node = await enrolled(served)
    task_id = await served.task()
    async with refused(served, "bad_node_token"):
        await node.join(task_id, node_token=forge.format(node.node_token))


async def test_the_challenge_is_no_node_token(served: Served) -> None:
    node = await enrolled(served)
    task_id, challenge = await served.task(), (await node.hello())["challenge"]
    async with refused(served, "bad_node_token"):
        await node.join(task_id, node_token=challenge)


async def test_a_node_can_return_after_the_servers_clock_was_set_back(served: Served) -> None:
    node = await stranger(served)
    with served.clock.later(3600):
        await node.shake_hands()
    await node.shake_hands()


async def test_two_keys_are_two_nodes_whatever_their_name(served: Served) -> None:
    names = {(await (await stranger(served)).shake_hands(name="twin")).node_id for _ in range(2)}
    assert len(names) == 2
