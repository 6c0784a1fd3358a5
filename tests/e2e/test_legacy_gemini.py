"""The SDK that Google retired, the real one, in an environment of its own: its protobuf is too old for others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peer_home import CACHE, install
from benchmarks.report import NotMeasured
from tests.fake_gemini import KEY, Answer, FakeGemini, blocked, calls, fails, says, serving, writes

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
OLDER = "gemini-2.5-flash"


@pytest.fixture(scope="module")
def legacy() -> Path:
    """Python with the extra `gemini-legacy`, and nothing else of Potluck's."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        home = install(CACHE / f"gemini-legacy-0.8.6-py{version}", ["google-generativeai==0.8.6"])
    except NotMeasured as missing:
        pytest.skip(str(missing))
    return home / "bin" / "python"


def test_it_plans_calls_tools_of_older_models_and_says_what_it_cannot_do(legacy: Path) -> None:
    wrong_key = fails(403, "The caller does not have permission", state="PERMISSION_DENIED")
    step = calls(("validate_task", {"spec": '{"rounds": 2, "options": {"mu": 0.1}}', "round": 3}))
    answers = (step, says("It is valid."), writes({"rounds": 3}), blocked(), wrong_key)
    odd = {"candidates": [{"content": {"parts": [{"functionCall": {"name": "validate_task", "args": "x"}}]}}]}
    answers += (Answer(raw=b"<html>Sign in</html>"), Answer(raw=json.dumps(odd).encode()))
    fake = FakeGemini(*answers, model=OLDER)
    with serving(fake) as url:
        environment = {"GOOGLE_GEMINI_BASE_URL": url, "GOOGLE_API_KEY": KEY, "PYTHONPATH": str(HERE.parent.parent)}
        done = subprocess.run(
            [legacy, "-W", "error", HERE / "legacy_gemini.py", OLDER],
            env={"PATH": os.environ["PATH"]} | environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["calls"] == [
        ["validate_task", {"spec": {"rounds": 2, "options": {"mu": 0.1}}, "round": 3}, "call-1-0"]
    ]
    assert isinstance(found["calls"][0][1]["round"], int)
    assert (found["text"], found["plan"]) == ("It is valid.", {"rounds": 3})
    assert "blocked the request (SAFETY)" in found["blocked"]
    assert "does not have permission" in found["unauthorised"]
    assert "drops the thought signatures" in found["tools with Gemini 3"]
    assert KEY not in done.stdout + done.stderr
    assert "cannot be read" in found["a page"]
    assert "cannot be read" in found["arguments of another type"]
    assert len(fake.requests) == 7  # of Gemini 3 nothing was asked
    system = fake.requests[2]["systemInstruction"]["parts"][0]["text"]
    assert '"required": ["rounds"]' in system
