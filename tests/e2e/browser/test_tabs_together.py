"""Many tabs of one browser profile: browsers allow six connections to a host, and a profile is one node."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, expect
from tab import Tab
from tab_federation import TabFederation

TABS = 8


@pytest.mark.timeout(180)
@pytest.mark.parametrize("transport", ["http", "sse"])
def test_of_eight_tabs_one_is_the_node_none_hangs_and_another_takes_over(
    context: BrowserContext, everyones: TabFederation, transport: str
) -> None:
    task_id = everyones.create(
        name=f"eight tabs over {transport}",
        data={"id": "digits", "partition": {"kind": "iid", "parts": 2}},
        cohort={"size": 2, "min_nodes": 2, "quorum": 2},
        rounds=1,
    )
    url = f"{everyones.page}?engine=cpu&transport={transport}"
    node, *others = [Tab(context, url).ready().train(task_id) for _ in range(TABS)]
    start = Tab(context, everyones.page).ready()
    node_id = node.is_in("Waiting").node_id
    for other in [*others, start]:
        other.is_in("In another tab").says("this one takes over when it closes")
    assert not any(other.calls("get_assignment") for other in [*others, start])

    later = everyones.create(name="news for all tabs")
    start.page.reload()
    for each in [node, *others, start]:  # one that hangs would not hear of it
        expect(each.page.locator(f'[data-task="{later}"]')).to_be_visible(timeout=20_000)

    node.page.close()
    first = others[0].is_in("Waiting")
    assert first.node_id == node_id
    for other in [*others[1:], start]:
        other.is_in("In another tab")
    everyones.join(f"beside-eight-{transport}", task_id)
    first.is_in("Task over")
    assert first.node_id in {update.node_id for update in everyones.updates(task_id, 1)}
    assert everyones.finished(task_id)["rounds"][0]["submitted"] == 2
