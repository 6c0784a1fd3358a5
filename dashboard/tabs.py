"""Going from one tab to another by a button."""

from __future__ import annotations

import json

_OPEN = """() => {
  const tabs = document.querySelectorAll('[role=tablist] button, .overflow-dropdown button');
  [...tabs].find((tab) => tab.textContent.trim() === NAME)?.click();
}"""
"""On a phone, tabs for which there is no room are in a menu."""


def go_to(tab: str) -> str:
    """The script that opens the tab of this name."""
    return _OPEN.replace("NAME", json.dumps(tab))
