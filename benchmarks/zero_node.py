"""A node that trains nothing and sends zeros: `python -m benchmarks.zero_node URL TASK TOKEN`. The protocol is left."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from edge_client.identity import Identity
from edge_client.membership import Membership
from edge_client.transfer import Lanes
from federation.identity import update_message
from federation.weights import load, pack_update


async def take_part(url: str, task_id: str, token: str) -> None:
    """Deliver a zero update to every round until the task is finished."""
    endpoint = Endpoint(url, token=token)
    identity = Identity(Ed25519PrivateKey.generate())
    with tempfile.TemporaryDirectory() as folder:
        async with Connection(endpoint) as connection, endpoint.http() as http:
            member = Membership(connection, identity, None, endpoint.host, lambda why, pause: None)
            terms = await member.renew()
            chunk = int(terms["lanes"]["chunk_max_bytes"])
            lanes = Lanes(connection, member.call, http, endpoint.url, chunk_max_bytes=chunk)
            ask = {"task_id": task_id, "wait_s": 25}
            work = await member.call("get_assignment", ask)
            while work["action"] != "finished":
                if work["action"] != "train":
                    work = await member.call("get_assignment", ask)
                    continue
                base = load(await lanes.download(work["model"], Path(folder)))
                payload = pack_update({name: torch.zeros_like(tensor) for name, tensor in base.items()})
                key = {"task_id": task_id, "round": work["round"], "base_version": work["model"]["version"]}
                sha256 = hashlib.sha256(payload).hexdigest()
                counts: dict[str, Any] = {"num_examples": 1, "num_steps": 1}
                message = update_message(node_id=member.node_id, sha256=sha256, **key, **counts)
                upload_id = await lanes.upload(key | {"sha256": sha256, "size": len(payload)}, payload)
                commit = key | counts | {"signature": identity.sign(message), "upload_id": upload_id}
                work = (await member.call("submit_update", commit))["next"]


if __name__ == "__main__":
    asyncio.run(take_part(*sys.argv[1:4]))
