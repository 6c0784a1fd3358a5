"""The style of the tabs on which tasks are made, simulated, tried and joined."""

from __future__ import annotations

from pathlib import Path

STEERING = Path(__file__).parent / "look" / "steering.css"
