"""Clients that generate_client wrote really train: as processes of a federation, and in a tried round."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flower_environment import ROOT, flower_python
from machine import Machine, spec

pytestmark = pytest.mark.anyio
PATIENCE_S = 100


async def generated(machine: Machine, framework: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    """A new task, and a client for it."""
    wanted = {"spec": spec(**changes), "request_id": f"clients-{framework}-{len(changes)}"}
    task_id = str((await machine.call("create_task", **wanted))["task_id"])
    return task_id, await machine.call("generate_client", task_id=task_id, framework=framework)


class Client:
    """A client's file, run as its maker would run it."""

    def __init__(self, machine: Machine, answer: dict[str, Any], token: str, python: Path, *arguments: str) -> None:
        folder = machine.folder / "clients"
        folder.mkdir(exist_ok=True)
        file = folder / answer["filename"]
        file.write_text(answer["code"])
        environment = os.environ | {"PYTHONPATH": str(ROOT), "POTLUCK_TOKEN": token, "OMP_NUM_THREADS": "1"}
        environment |= {"PYTHONWARNINGS": "default", "FLWR_HOME": str(folder), "FLWR_TELEMETRY_ENABLED": "0"}
        command = [str(python), str(file), machine.url, "--key", str(folder / f"{file.stem}.pem"), *arguments]
        self._log = folder / f"{file.stem}.log"
        with self._log.open("wb") as sink:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def ended(self) -> str:
        """What it printed, once it has ended well."""
        code = self._process.wait(PATIENCE_S)
        said = self._log.read_text(errors="replace")
        assert code == 0, said
        return said


async def test_a_generated_pytorch_client_trains_a_federation_to_its_end(shared: Machine) -> None:
    alone = {"size": 1, "min_nodes": 1, "quorum": 1}
    partition = {"kind": "iid", "parts": 1}
    task_id, answer = await generated(
        shared,
        "pytorch",
        rounds=2,
        cohort=alone,
        data={"id": "digits", "partition": partition},
        name='Zoë\'s "digits" {x}',
    )
    with Client(shared, answer, await shared.node_token(), Path(sys.executable)) as client:
        task = await shared.wait_for(task_id, lambda task: task["state"] == "finished")
        said = client.ended()
    assert [each["accuracy"] > 0.8 for each in task["rounds"]] == [True, True]
    assert "update accepted" in said


async def test_a_generated_flower_client_and_a_potluck_node_train_a_federation_to_its_end(shared: Machine) -> None:
    python = flower_python()
    task_id, answer = await generated(shared, "flower", rounds=2)
    token = await shared.node_token()
    shared.start_node("beside-flower", task_id, token, "--index", "1")
    with Client(shared, answer, token, python, "--index", "0", "--name", "flower") as client:
        task = await shared.wait_for(task_id, lambda task: task["state"] == "finished")
        said = client.ended()
    assert task["rounds"][1]["accuracy"] > 0.8
    assert [each["submitted"] for each in task["rounds"]] == [2, 2]
    assert {node["name"] for node in task["nodes"]} == {"flower", "beside-flower"}
    assert "update accepted" in said


def test_flowers_apps_of_every_kind_keep_to_the_adapters_word() -> None:
    cases = [str(flower_python()), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "filterwarnings=default"]
    cases.append(str(ROOT / "tests/e2e/flower_cases.py"))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FLWR_TELEMETRY_ENABLED": "0"}
    ran = subprocess.run(cases, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout[-5000:]
    assert " passed" in ran.stdout


async def test_a_generated_client_is_tried_on_the_server_before_anyone_runs_it(shared: Machine) -> None:
    task_id, _ = await generated(shared, "pytorch", name="tried")
    answer = await shared.call("generate_client", task_id=task_id, framework="pytorch", check=True)
    checked = answer["checked"]
    assert checked["accepted"], checked
    assert (checked["reason"], checked["stopped_by"], checked["attempts"]) == ("", "", [])
    assert (checked["num_examples"], checked["num_steps"]) == (256, 8)
    assert checked["peak_memory_bytes"] > 50_000_000
    assert checked["loss_after"] < checked["loss_before"]
    assert checked["data"] == "256 examples of the first share of digits"
    assert {"audit hook", "CPU limit", "file size limit"} <= set(checked["sandbox"])
