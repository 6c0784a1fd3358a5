"""Going from one tab to another by a button."""

from __future__ import annotations

import json


def go_to(tab: str) -> str:
    """The script that opens the tab of this name."""
    name = json.dumps(tab)
    return f"() => {{ [...document.querySelectorAll('[role=tab]')].find(tab => tab.textContent.trim() === {name})?.click(); }}"
