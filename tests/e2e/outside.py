"""What tests need from outside this checkout."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Something is not there, and cannot be had: a failure in CI, elsewhere a skip with the reason."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
