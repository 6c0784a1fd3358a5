"""One thread for arithmetic: two or more are slower on small tensors, and tests run side by side."""

from __future__ import annotations

import pytest
import torch

from federation.threads import use_threads


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    use_threads(1)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    torch.set_num_threads(1)  # whatever the test before has asked for
