"""plan_task as its callers meet it: by role, at a rate, without and with a language model, and creating nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_client.endpoint import Endpoint
from federation.errors import Refused
from potluck.plan import plan_and_print
from tests.fake_gemini import KEY, Answer, FakeGemini, fails, writes
from tests.fake_gemini import serving as serving_gemini
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio

GOAL = "digits on 10 phones, non-IID, robust against 2 attackers"


async def test_a_goal_becomes_a_spec_that_validates_and_can_be_created(served: Served) -> None:
    operator = await served.operator()
    before = await served.snapshot()
    plan = await operator.call("plan_task", goal=GOAL)
    assert (await served.snapshot()) == before
    assert (plan["planner"], plan["valid"], plan["problems"], plan["simulate"]) == ("rules", True, [], False)
    assert plan["spec"]["aggregation"] == {"rule": "centered_clipping", "options": {"f": 2}}
    assert {"field": "aggregation.options.f", "value": 2} in [
        {key: each[key] for key in ("field", "value")} for each in plan["reasons"]
    ]
    checked = await operator.call("validate_task", spec=plan["spec"])
    assert {name: plan[name] for name in ("valid", "problems", "warnings", "budget")} == {
        name: checked[name] for name in ("valid", "problems", "warnings", "budget")
    }
    made = await operator.call("create_task", spec=plan["spec"], request_id=served.fresh(), start=False)
    assert made["new"] is True


async def test_a_simulation_that_was_planned_can_be_run(served: Served) -> None:
    operator = await served.operator()
    plan = await operator.call("plan_task", goal="simulate digits with 5 clients, 1 round, 1 local epoch")
    assert (plan["simulate"], plan["simulation"]) == (True, {"attack": None, "attackers": 0.0})
    made = await operator.call("run_simulation", spec=plan["spec"], request_id=served.fresh())
    assert made["new"] is True
    await operator.call("control_task", task_id=made["task_id"], action="cancel")


async def test_a_simulation_with_attackers_is_run_as_it_was_planned(served: Served) -> None:
    operator = await served.operator()
    goal = "simulate digits with 6 clients and half of them attackers, 1 round, 1 local epoch"
    plan = await operator.call("plan_task", goal=goal)
    assert plan["simulation"] == {"attack": "sign_flip", "attackers": 0.5}
    made = await operator.call("run_simulation", spec=plan["spec"], **plan["simulation"], request_id=served.fresh())
    assert made["new"] is True
    await operator.call("control_task", task_id=made["task_id"], action="cancel")


async def test_a_goal_that_no_task_meets_has_a_sound_spec_and_is_no_valid_plan(served: Served) -> None:
    operator = await served.operator()
    plan = await operator.call("plan_task", goal="vertical federated learning on 4 nodes")
    assert (plan["valid"], [problem["field"] for problem in plan["problems"]]) == (False, ["(goal)"])
    assert (await operator.call("validate_task", spec=plan["spec"]))["valid"] is True
    assert plan["simulation"] is None


async def test_a_spec_is_changed_by_words(served: Served) -> None:
    operator = await served.operator()
    spec = (await operator.call("plan_task", goal=GOAL))["spec"]
    plan = await operator.call("plan_task", goal="make it 20 rounds", spec=spec)
    assert plan["spec"] == spec | {"rounds": 20}
    assert [reason["field"] for reason in plan["reasons"]] == ["rounds"]


async def test_a_plan_with_problems_names_them_and_their_mends(served: Served) -> None:
    plan = await (await served.operator()).call("plan_task", goal="digits on 9,000 nodes")
    assert (plan["valid"], plan["budget"]) == (False, {})
    assert [problem["field"] for problem in plan["problems"]] == ["data.partition"]
    assert "lower data.partition.parts to 1437" in plan["problems"][0]["mend"]


async def test_the_command_prints_a_spec_that_it_takes_back_for_changes(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = Endpoint(served.base, "http", (await served.token("operator")).secret, None)
    assert await asyncio.to_thread(plan_and_print, endpoint, "digits on 6 nodes; paint it green", None)
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out)["cohort"] == {"size": 6}
    assert "cohort.size: you said “6 nodes”" in printed.err
    assert "“paint it green”" in printed.err
    (tmp_path / "task.yaml").write_text(printed.out, encoding="utf-8")
    assert await asyncio.to_thread(plan_and_print, endpoint, "make it 20 rounds", tmp_path / "task.yaml")
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(printed.out) | {"rounds": 20}
    assert not await asyncio.to_thread(plan_and_print, endpoint, "digits on 9000 nodes", None)
    assert "mend: lower data.partition.parts" in capsys.readouterr().err


@pytest.mark.parametrize("role", ["viewer", "node", None])
async def test_planning_is_for_operators(served: Served, role: str | None) -> None:
    line = served.rpc((await served.token(role)).secret if role else None)
    async with refused(served, "forbidden", says="role operator"):
        await line.call("plan_task", goal=GOAL)


@pytest.mark.parametrize("goal", ["", "x" * 2001])
async def test_a_goal_has_bounds(served: Served, goal: str) -> None:
    operator = await served.operator()
    async with refused(served, "invalid_argument", says="goal"):
        await operator.call("plan_task", goal=goal)


async def test_planning_is_rate_limited(anyio_backend: str, tmp_path: Path) -> None:
    async with serving(tmp_path, llm_calls_per_minute=2) as served:
        operator = await served.operator()
        for _ in range(2):
            await operator.call("plan_task", goal="digits")
        async with refused(served, "rate_limited", says="more than 2 calls that may ask a language model a minute"):
            await operator.call("plan_task", goal="digits")


@asynccontextmanager
async def with_gemini(fake: FakeGemini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Served]:
    with serving_gemini(fake) as url:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
        monkeypatch.setenv("GOOGLE_API_KEY", KEY)
        async with serving(tmp_path) as served:
            yield served


async def test_with_a_key_in_the_environment_gemini_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(body: dict[str, Any]) -> Answer:
        spec = json.loads(body["contents"][0]["parts"][0]["text"])["plan_by_rules"]["spec"]
        spec["training"]["epochs"] = 3
        reasons = [{"field": "training.epochs", "why": "they drift less"}]
        return writes({"spec": spec, "reasons": reasons, "notes": [], "simulate": False})

    async with with_gemini(FakeGemini(script=script), tmp_path, monkeypatch) as served:
        plan = await (await served.operator()).call("plan_task", goal=GOAL)
    assert (plan["planner"], plan["valid"], plan["spec"]["training"]["epochs"]) == ("gemini", True, 3)
    assert {"field": "training.epochs", "value": 3, "why": "they drift less"} in plan["reasons"]


async def test_a_service_that_says_no_leaves_a_plan_by_rules_and_no_key_in_any_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = FakeGemini(fails(403, f"{KEY} may not.", state="PERMISSION_DENIED"))
    async with with_gemini(refusing, tmp_path, monkeypatch) as served:
        plan = await (await served.operator()).call("plan_task", goal=GOAL)
    assert (plan["planner"], plan["valid"]) == ("rules", True)
    assert "does not take the API key" in plan["notes"][0]
    assert KEY not in json.dumps(plan) + caplog.text


async def test_a_server_that_is_told_to_ask_gemini_and_has_no_key_says_so_at_its_start(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="the environment has no key"):
        async with serving(tmp_path, llm="gemini"):
            pass
