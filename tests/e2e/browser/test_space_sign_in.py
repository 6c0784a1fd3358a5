"""`python space_app.py` as Hugging Face starts it: behind its name, with its sign-in, its secret and its variables."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chromium import NAMED
from hub_sign_in import CLIENT, SECRET, HubSignIn, sign_in_service
from proxy import certificate

from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.timeout(180)


@dataclass
class Space:
    """A running Space, and who may sign in."""

    url: str
    hub: HubSignIn


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    folder: Path = tmp_path_factory.mktemp("space")
    chain, key = certificate(folder, NAMED)
    with socket.socket() as free, sign_in_service() as hub:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("POTLUCK_", "SPACE"))}
        variables = {
            "SPACE_ID": "ada/potluck",
            "SPACE_HOST": f"{NAMED}:{port}",
            "SPACE_AUTHOR_NAME": "ada",
            "OAUTH_CLIENT_ID": CLIENT,
            "OAUTH_CLIENT_SECRET": SECRET,
            "OAUTH_SCOPES": "openid profile",
            "OPENID_PROVIDER_URL": hub.base,
            "POTLUCK_PORT": str(port),
            "POTLUCK_DATA_DIR": str(folder / "data"),
            "POTLUCK_SSL_CERTFILE": str(chain),
            "POTLUCK_SSL_KEYFILE": str(key),
            "POTLUCK_OPERATOR_TOKEN": "the-secret-of-the-space",
        }
        with subprocess.Popen(
            [sys.executable, "space_app.py"], cwd=ROOT, env=kept | variables, stderr=subprocess.PIPE, text=True
        ) as started:
            try:
                assert started.stderr is not None
                said = ""
                while "mcp endpoint" not in said:
                    line = started.stderr.readline()
                    assert line, said
                    said += line
                threading.Thread(target=started.stderr.read, daemon=True).start()
                yield Space(f"https://{NAMED}:{port}", hub)
                started.send_signal(signal.SIGTERM)
                assert started.wait(30) == 0
            finally:
                started.kill()


def opened(browser: Browser, space: Space) -> Page:
    page = browser.new_context(ignore_https_errors=True).new_page()
    page.goto(space.url)
    return page


def sign_in(page: Page) -> None:
    page.get_by_role("button", name="Sign in with Hugging Face").click()


def test_the_owner_who_signs_in_is_an_operator_and_a_stranger_stays_a_viewer(browser: Browser, space: Space) -> None:
    from playwright.sync_api import expect

    owner, stranger = opened(browser, space), opened(browser, space)
    expect(owner.locator("#who")).to_contain_text("viewer")
    space.hub.user = "ada"
    sign_in(owner)
    expect(owner.locator("#who")).to_contain_text("operator")
    space.hub.user = "mallory"
    sign_in(stranger)
    expect(stranger.get_by_role("button", name="mallory")).to_be_visible()
    expect(stranger.locator("#who")).to_contain_text("viewer")
    owner.reload()
    expect(owner.locator("#who")).to_contain_text("operator")
    for page in (owner, stranger):
        page.context.close()


def test_a_space_lets_nobody_call_by_a_name_that_is_not_its_own(browser: Browser, space: Space) -> None:
    page = opened(browser, space)
    loopback = space.url.replace(NAMED, "127.0.0.1")
    answer = page.context.request.get(f"{loopback}/mcp", headers={"Host": "evil.example"})
    assert answer.status == 421
    assert json.loads(answer.text())["error"]["code"] == "forbidden"
    page.context.close()
