"""Who may train: invited tabs alone, on a server that is not open to everyone; and no tab whose page is not secure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from anyio.from_thread import BlockingPortal
from chromium import NAMED
from playwright.sync_api import BrowserContext, expect
from tab import Tab
from tab_federation import TabFederation, federation

from scripts.web import Web


@pytest.fixture(scope="module")
def invited(tmp_path_factory: pytest.TempPathFactory, portal: BlockingPortal, packages: Web) -> Iterator[TabFederation]:
    """A server as `potluck serve` starts it: whoever has no token may look."""
    with federation(tmp_path_factory.mktemp("invited"), portal) as invited:
        invited.machine.start_server("--allow-host", NAMED)
        yield invited


def test_an_invited_tab_enrols_trains_and_is_known_after_a_reload(
    context: BrowserContext, invited: TabFederation
) -> None:
    task_id = invited.create(name="invited", rounds=1)
    issued = invited.call("issue_token", role="node", request_id="invited-tab", base_url=invited.machine.url)
    tab = Tab(context, issued["link"]).ready()
    assert tab.page.url == invited.page, "what was in the fragment is gone from the address bar"
    tab.train(task_id).is_in("Task over")
    [update] = invited.updates(task_id, 1)
    assert update.node_id == tab.node_id
    again = invited.create(name="invited again", rounds=1)
    tab.page.reload()
    tab.ready().train(again).is_in("Task over")
    assert [each.node_id for each in invited.updates(again, 1)] == [update.node_id]
    assert not tab.sent(issued["token"]), "it goes in a header, in no address and no body"
    assert issued["token"] not in invited.machine.said()
    assert tab.complaints == []


def test_a_tab_that_is_not_invited_sees_the_tasks_and_is_told_to_get_an_invitation(
    context: BrowserContext, invited: TabFederation
) -> None:
    task_id = invited.create(name="not invited")
    tab = Tab(context, invited.page).ready()
    card = tab.page.locator(".card", has=tab.page.locator(f'[value="{task_id}"]'))
    expect(card).to_contain_text("This server takes invited nodes only: open the link of an invitation.")
    expect(card.get_by_role("radio")).to_be_disabled()
    expect(tab.page.get_by_role("button", name="Train", exact=True)).to_be_disabled()
    assert not tab.calls("get_assignment")


@pytest.mark.parametrize("kind", ["wrong", "revoked"])
def test_an_invitation_that_is_no_good_is_answered_clearly_and_a_good_one_then_serves(
    context: BrowserContext, invited: TabFederation, kind: str
) -> None:
    task_id = invited.create(name=f"after a {kind} one", rounds=1)
    issued = invited.call("issue_token", role="node", request_id=f"{kind}-invitation", base_url=invited.machine.url)
    link = issued["link"][:-4] + "aaaa"
    if kind == "revoked":
        link = issued["link"]
        invited.call("issue_token", revoke=issued["token_id"], request_id="its-revocation")
    tab = Tab(context, link)
    tab.says("This server wants an invitation").says("open the link of an invitation")
    good = invited.call("issue_token", role="node", request_id=f"good-after-{kind}")
    form = tab.page.locator("#invitation")
    form.get_by_label("Link or token").fill(good["token"])
    form.get_by_role("button", name="Use it").click()
    tab.ready().train(task_id).is_in("Task over")
    expect(tab.page.locator("#notices")).not_to_contain_text("wants an invitation")


def test_a_page_that_came_over_plain_http_says_what_to_do(context: BrowserContext, invited: TabFederation) -> None:
    insecure = invited.page.replace("127.0.0.1", NAMED)
    tab = Tab(context, insecure)
    assert tab.page.evaluate("isSecureContext") is False
    tab.says("Not a secure context").says("by https://")
    expect(tab.page.get_by_role("button", name="Train", exact=True)).to_be_disabled()
