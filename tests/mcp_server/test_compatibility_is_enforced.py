"""A server refuses what does not go together, when it is asked and when it is told."""

from __future__ import annotations

import pytest

from federation.aggregation.compatibility import cells, refusals
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import SPEC, Served

COHORT = {"size": 15, "quorum": 15}


async def test_every_cell_of_classifiers_is_allowed_or_refused_with_its_reason(served: Served) -> None:
    operator = served.rpc()
    allowed = 0
    for cell in (each for each in cells() if each.model == "classifier"):
        aggregation = {"rule": cell.rule, "mixing": cell.mixing, "weighting": cell.weighting}
        checked = await operator.call("validate_task", spec=SPEC | {"aggregation": aggregation, "cohort": COHORT})
        assert checked["problems"] == [problem.model_dump() for problem in refusals(cell)], cell
        assert checked["valid"] == (not refusals(cell))
        allowed += checked["valid"]
    assert allowed == 3 * 8 + 3 * 8 + 1


@pytest.mark.parametrize(
    ("aggregation", "says"),
    [
        ({"rule": "scaffold", "mixing": "bucketing"}, "takes the mean of all of them anyway"),
        ({"rule": "fedavg", "mixing": "nnm"}, "takes the mean of all of them anyway"),
        ({"rule": "median", "weighting": "examples"}, "chooses its own weight"),
        ({"rule": "bulyan", "options": {"f": 4}}, "to withstand 4 of them bulyan needs 19"),
        ({"rule": "krum", "options": {"g": 1}}, "aggregation.options.g: krum has no option 'g'"),
    ],
)
async def test_creation_refuses_what_validation_refuses(
    served: Served, aggregation: dict[str, object], says: str
) -> None:
    spec = SPEC | {"aggregation": aggregation, "cohort": COHORT}
    operator = await served.operator()
    async with refused(served, "invalid_spec", says=says):
        await operator.call("create_task", spec=spec, request_id="does-not-go")
    checked = await operator.call("validate_task", spec=spec)
    assert not checked["valid"]
