"""Arithmetic on one thread: more are slower on small tensors, and tests run side by side. Long files come first."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from federation.threads import use_threads

_HERE = Path(__file__).parent
_LONGEST_FIRST = (
    "e2e/browser/test_page_states.py",
    "e2e/browser/test_dashboard_watch.py",
    "e2e/test_generated_clients_train.py",
    "e2e/test_dashboard_steer.py",
    "benchmarks/test_benchmarks_run.py",
    "e2e/test_mnist.py",
    "e2e/test_agent.py",
    "e2e/test_sandbox_fences.py",
    "e2e/test_hub_federation.py",
    "e2e/test_language_federation.py",
    "e2e/test_fault_matrix.py",
    "mcp_server/test_simulations.py",
    "docs/test_tutorials_run.py",
    "e2e/test_scaffold_faults.py",
    "e2e/test_node_faults.py",
    "e2e/browser/test_tabs_together.py",
    "e2e/browser/test_tab_page.py",
    "e2e/browser/test_tabs_data.py",
    "e2e/browser/test_tabs_killed.py",
    "e2e/test_stdio.py",
    "benchmarks/test_study.py",
    "e2e/test_server_process.py",
    "e2e/test_demo.py",
    "e2e/browser/test_tabs_in_rounds.py",
    "benchmarks/test_web_benchmark.py",
    "e2e/test_conformance.py",
    "mcp_server/test_torn_connections.py",
    "fuzz/test_fuzz_wire.py",
)
"""Files that each take a worker a while: one that began last would keep it busy when nothing is left for the others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {_HERE / name: place for place, name in enumerate(_LONGEST_FIRST)}
    if gone := [str(path) for path in places if not path.is_file()]:
        raise pytest.UsageError(f"tests/conftest.py orders files that are not there: {', '.join(gone)}")
    items.sort(key=lambda item: places.get(item.path, len(places)))  # all others stay as they are


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whoever wants no test with the marker `e2e` need not import the folder whose tests all have it."""
    return True if config.option.markexpr == "not e2e" and collection_path == _HERE / "e2e" else None


def pytest_collection_finish() -> None:
    gc.freeze()  # what was imported stays: looking through all of it for garbage takes half a second each time


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    use_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_keys() -> Iterator[None]:
    """No test asks Google, whatever is in the environment of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    torch.set_num_threads(1)  # whatever the test before has asked for


@pytest.fixture(scope="session", autouse=True)
def _no_real_hub() -> Iterator[None]:
    """No test asks the real Hub; those that ask one of their own say so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield
