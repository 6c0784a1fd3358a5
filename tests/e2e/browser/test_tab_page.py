"""The real page at a real server: accessible in each of its states, rehearsing without a server, and light to load."""

from __future__ import annotations

from typing import Any

import pytest
from cutting_proxy import CuttingProxy
from page_scenes import WEB
from playwright.sync_api import Browser, BrowserContext, expect
from tab import Tab
from tab_federation import TabFederation

AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
MOST = 160_000
_LOADED = """
    () => performance.getEntriesByType('resource').map((one) => [one.name.split('/').at(-1), one.transferSize])
"""


def problems(tab: Tab) -> list[tuple[str, list[str]]]:
    """What axe-core finds serious or critical, with everything unfolded."""
    tab.page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    tab.page.evaluate(AXE.read_text())  # by the debugger, which the page's policy does not bind
    found = tab.page.evaluate("axe.run()")
    assert len(found["passes"]) > 20
    bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in bad]


def check_on_a_phone(tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 360, "height": 740})
    expect(tab.page.locator("html")).to_have_js_property("scrollWidth", 360)
    tab.page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_idle_training_and_finished_and_nothing_scrolls_sideways_on_a_phone(
    browser: Browser, everyones: TabFederation, scheme: Any
) -> None:
    task_id = everyones.create(
        name=f"looked at in {scheme} colours", rounds=2, training={"epochs": 500, "learning_rate": 0.01}
    )
    with browser.new_context(color_scheme=scheme, reduced_motion="reduce") as context:
        tab = Tab(context, everyones.page).ready().choose(task_id)
        assert problems(tab) == []
        check_on_a_phone(tab)

        tab.train(task_id).is_in("Training").once("step", 3)
        assert problems(tab) == []
        check_on_a_phone(tab)
        expect(tab.page.locator("#phase")).to_have_text("Training")

        tab.is_in("Task over")
        assert problems(tab) == []
        check_on_a_phone(tab)
        assert tab.complaints == []


@pytest.mark.timeout(180)
def test_a_rehearsal_of_four_nodes_learns_the_digits_in_the_tab_and_nothing_of_it_reaches_the_server(
    context: BrowserContext, everyones: TabFederation
) -> None:
    everyones.create(name="not asked for")
    tab = Tab(context, everyones.page).ready()
    tools_called = everyones.metric("potluck_tool_calls_total")
    asked = len(tab.requests)
    form = tab.page.locator("#rehearsal")
    form.locator("#nodes").fill("4")
    form.get_by_role("spinbutton", name="Rounds", exact=True).fill("3")
    form.get_by_role("button", name="Rehearse").click()
    expect(tab.page.locator("#rehearsed")).to_contain_text("after 3 of 3 rounds")
    rounds = [one["round"] for one in tab.heard("rehearsed")]
    assert [one["round"] for one in rounds] == [1, 2, 3]
    assert [one["updates"] for one in rounds] == [4, 4, 4]
    assert rounds[-1]["accuracy"] > max(0.6, rounds[0]["accuracy"])
    [shares] = tab.heard("shares")
    assert [len(shares["perClass"]), sum(map(sum, shares["perClass"]))] == [4, 1437]

    form.get_by_role("spinbutton", name="Rounds", exact=True).fill("100")
    form.get_by_role("button", name="Rehearse").click()
    tab.once("rehearsed", 5)
    form.get_by_role("button", name="Stop").click()
    expect(tab.page.locator("#rehearsed")).to_contain_text("of 100 rounds")
    expect(form.get_by_role("button", name="Rehearse")).to_be_visible()
    assert len(tab.heard("rehearsal_over")) == 2
    assert len(tab.heard("rehearsed")) < 103
    since = tab.requests[asked:]
    assert {method for method, _, _ in since} <= {"GET", "POST"}
    assert max(len(body) for _, _, body in since) < 2000, "an update has 19 kB"
    assert everyones.metric("potluck_tool_calls_total") == tools_called
    assert tab.complaints == []


def test_the_first_visit_transfers_at_most_160_kb_before_a_person_acts(
    context: BrowserContext, everyones: TabFederation, record_property: Any
) -> None:
    everyones.create(name="to look at")
    port = int(everyones.machine.url.rpartition(":")[2])
    with CuttingProxy(port, b"nothing is cut") as line:
        tab = Tab(context, f"{line.url}/edge/").ready()
        expect(tab.page.locator(".card").first).to_be_visible()
        tab.page.wait_for_load_state("networkidle")
        moved = line.bytes_down
        loaded = [each.evaluate(_LOADED) for each in (tab.page, *tab.page.workers)]
    record_property("bytes of the first visit", moved)
    print(f"the first visit: {moved} bytes; {loaded}")
    assert 50_000 < moved <= MOST, loaded
