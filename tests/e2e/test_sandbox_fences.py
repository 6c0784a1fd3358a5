"""Each fence of the kernel's by itself, with nothing of Python's before it; and what the parent watches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from test_sandbox import ON_LINUX, ROOT, SECRET, data_dir, doing, tried

from orchestrator.sandbox.bounds import Bounds
from orchestrator.sandbox.hearing import Heard

__all__ = ["data_dir"]
ATTEMPTS = """
import ctypes, json, mmap, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from orchestrator.sandbox import landlock, namespaces, privileges, system_calls
fence, folder = sys.argv[2], Path(sys.argv[3])
work, data, outside = (folder / name for name in ("work", "data", "outside"))
libc = ctypes.CDLL(None, use_errno=True)
held = False
if fence == "privileges":
    held = "no privileges" in namespaces.enter(work, [data], room=1 << 20, leaving=())
elif fence == "files":
    os.chdir(work)
    elsewhere = os.open(outside, os.O_RDONLY)
    held = landlock.restrict(str(work), [sys.prefix, sys.base_prefix, "/usr/lib", "/lib"])
elif fence == "calls":
    (work / "file").write_text("x")
    held = system_calls.forbid()

def call(number, *arguments):
    answer = libc.syscall(number, *arguments)
    return "done" if answer >= 0 else ctypes.get_errno()

def outcome(attempt):
    try:
        return attempt() and "done"
    except OSError as error:
        return error.errno

at, d, w, o = -100, str(data).encode(), str(work).encode(), str(outside).encode()
readable = (ctypes.c_uint64 * 4)(0, 1, 0, 0)
found = {
    "open_tree": call(428, at, b"/", 1), "move_mount": call(429, at, d, at, w, 0), "fsopen": call(430, b"tmpfs", 0),
    "open_tree_attr": call(467, at, o, 1, readable, ctypes.c_size_t(32)),
    "mount_setattr": call(442, at, o, 0, readable, ctypes.c_size_t(32)), "newest": call(600),
    "chroot": fence == "files" or outcome(lambda: os.chroot(work) or True),
    "seen": outcome(lambda: list(os.listdir(data)) or ["nothing"]),
}
if fence == "files":
    found |= {
        "inside": outcome(lambda: (work / "new").write_text("x") and (work / "new").read_text()),
        "secret": outcome((data / "operator.token").read_text),
        "by descriptor": outcome(lambda: os.open("kept", os.O_RDONLY, dir_fd=elsewhere)),
        "new by descriptor": outcome(lambda: os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=elsewhere)),
        "by another folder": outcome(lambda: os.chdir(outside) or open("kept").read()),
        "truncated": outcome(lambda: os.truncate(outside / "kept", 0) or True),
        "removed": outcome(lambda: os.remove(outside / "kept") or True),
        "linked": outcome(lambda: os.link(outside / "kept", work / "kept") or True),
        "system": outcome(lambda: open("/etc/passwd").read()),
        "parent": outcome(lambda: os.kill(os.getppid(), 0) or True),
    }
if fence == "calls":
    import fcntl, resource
    end, _ = os.pipe()
    found |= {
        "shared memory": outcome(lambda: mmap.mmap(-1, 1 << 20) and True),
        "shared file": outcome(lambda: mmap.mmap(os.open(work / "file", os.O_RDWR), 1) and True),
        "file in memory": outcome(lambda: os.memfd_create("x") and True),
        "private memory": outcome(lambda: len(bytearray(64 << 20))),
        "parent's limits": outcome(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)),
        "its own limits": outcome(lambda: resource.getrlimit(resource.RLIMIT_NOFILE)),
        "signals by a file": outcome(lambda: fcntl.fcntl(end, fcntl.F_SETOWN, os.getppid()) or True),
        "modes": outcome(lambda: os.chmod(outside / "kept", 0o777) or True),
        "another session": outcome(lambda: os.setsid() or True),
        "tracing": call(101 if os.uname().machine == "x86_64" else 117, 0, 0, 0, 0),
    }
print(json.dumps({"held": held} | found))
"""


def alone(fence: str, folder: Path) -> dict[str, object]:
    """What is done, or refused with which number, where only this fence stands."""
    (folder / "work").mkdir()
    (folder / "outside").mkdir()
    (folder / "outside" / "kept").write_text(SECRET)
    command = [sys.executable, "-I", "-B", "-c", ATTEMPTS, str(ROOT), fence, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found: dict[str, object] = json.loads(said)
    assert (folder / "outside" / "kept").read_text() == SECRET or not found["held"]
    return found


@ON_LINUX
def test_in_its_namespaces_the_code_has_no_privilege_to_take_mounts_down(tmp_path: Path, data_dir: Path) -> None:
    found = alone("privileges", tmp_path)
    if not found["held"]:
        pytest.skip("this machine allows no user namespaces")
    for call in ("open_tree", "move_mount", "fsopen", "open_tree_attr", "mount_setattr", "chroot"):
        assert found[call] in (1, 38), call  # not permitted, or not known to this kernel
    assert found["seen"] == "done"


@ON_LINUX
def test_the_kernels_file_rules_hold_by_whatever_name_a_file_is_asked_for(tmp_path: Path, data_dir: Path) -> None:
    found = alone("files", tmp_path)
    if not found["held"]:
        pytest.skip("this kernel has no Landlock, or an older one")
    assert found["inside"] == "done"
    refused = ("secret", "by descriptor", "new by descriptor", "by another folder", "truncated", "removed", "linked")
    for attempt in (*refused, "seen", "system"):
        assert found[attempt] in (13, 18), attempt  # permission denied; a link from afar
    assert found["parent"] in (1, "done")  # only newer kernels know scopes


@ON_LINUX
def test_only_listed_system_calls_are_made(tmp_path: Path, data_dir: Path) -> None:
    found = alone("calls", tmp_path)
    if not found["held"]:
        pytest.skip("this kernel or processor has no filter that is known here")
    for attempt in ("open_tree", "move_mount", "fsopen", "open_tree_attr", "mount_setattr", "newest"):
        assert found[attempt] == 38, attempt
    assert found["chroot"] == 1
    done = ("private memory", "its own limits", "seen")
    assert [found[attempt] for attempt in done] == ["done"] * len(done)
    shared = ("shared memory", "shared file", "file in memory")
    for attempt in (*shared, "parent's limits", "signals by a file", "modes", "another session", "tracing"):
        assert found[attempt] == 1, attempt


SHARING = """
import json, mmap, os, sys, time
os.write(int(sys.argv[1]), json.dumps({"held": [], "resident_bytes": 0, "cpu_seconds": 0}).encode() + b"\\n")
shared = mmap.mmap(-1, 96 << 20)
shared.write(bytes(96 << 20))
time.sleep(60)
"""


def heard(script: str, bounds: Bounds, stop: Event) -> str:
    said, tell = os.pipe()
    command = [sys.executable, "-I", "-c", script, str(tell)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[tell], start_new_session=True) as child:
        os.close(tell)
        try:
            return Heard(child, said, bounds, 1 << 10, stop).out()
        finally:
            child.kill()
            os.close(said)


@ON_LINUX
def test_shared_memory_counts_where_no_limit_of_the_process_sees_it() -> None:
    assert heard(SHARING, Bounds(memory_bytes=64 << 20, clock_seconds=50), Event()) == "memory limit"


def test_a_caller_who_goes_away_ends_the_code() -> None:
    stop = Event()
    stop.set()
    assert heard("import time; time.sleep(60)", Bounds(), stop) == "caller"


ANSWERING = """
import os, stat
for each in range(3, 64):
    try:
        if stat.S_ISFIFO(os.fstat(each).st_mode): os.write(each, ANSWER)
    except OSError: pass
os._exit(0)
"""


@pytest.mark.parametrize(
    ("answer", "by", "says"),
    [
        (b"[" * 50_000 + b"\n", "itself", "without an answer"),
        (b'{"by": ["x"], "problem": "\\ud800\\u001b[2J"}\n', "itself", "?\ufffd[2J"),
        (b'"\\ud800"\n' * 30, "itself", "without an answer"),
    ],
    ids=["nested", "half a character", "attempts"],
)
def test_no_answer_of_the_codes_breaks_the_call(answer: bytes, by: str, says: str, data_dir: Path) -> None:
    code = ANSWERING.replace("ANSWER", repr(answer)).strip().splitlines()
    trial = tried(doing(*code), data_dir)
    assert (trial.accepted, trial.stopped_by) == (False, by)
    assert says in trial.reason
    assert repr(trial).encode()
    assert len(trial.attempts) <= 20


@ON_LINUX
def test_code_that_does_not_heed_its_cpu_limit_is_said_to_have_met_it(data_dir: Path) -> None:
    trial = tried(doing("import signal", "signal.signal(signal.SIGXCPU, signal.SIG_IGN)", "while True: pass"), data_dir)
    assert trial.stopped_by == "CPU limit", trial


def test_paths_that_are_not_absolute_are_no_way_past_the_hook(data_dir: Path) -> None:
    attempts = [
        "os.open('/usr/lib', os.O_RDONLY)",
        "os.chdir('/usr/lib')",
        "open('../order.json', 'w')",
        "open('../../../../../../etc/passwd')",
        "os.listdir('/etc')",
        "os.scandir('/')",
        "mmap.mmap(-1, 4096)",
    ]
    code = ["import mmap, os", f"for each in {attempts!r}:", "    try:", "        eval(each)"]
    code += ["    except OSError: pass", "open('here', 'w').write('x')", "return open('here').read()"]
    trial = tried(doing(*code), data_dir)
    assert len(trial.attempts) == len(attempts), trial
    assert not trial.accepted


def test_what_was_refused_cannot_be_taken_back(data_dir: Path) -> None:
    code = ["import os, sys", "try:", "    os.fork()", "except OSError as error:", "    step = error.__traceback__"]
    code += ["while step:", "    for kept in step.tb_frame.f_locals.values():"]
    code += ["        if isinstance(kept, list): kept.clear()", "    step.tb_frame.f_globals.pop('Barred', None)"]
    code += ["    step = step.tb_next", "try: os.system('id')", "except OSError: pass", "os._exit(0)"]
    trial = tried(doing(*code), data_dir)
    assert trial.attempts[0] == "os.fork"
    assert trial.stopped_by == "itself"


def test_code_does_not_begin_where_no_fence_of_the_kernels_keeps_files_from_it() -> None:
    from orchestrator.sandbox.child import _sound

    hidden = [Path("/srv/data")]
    mounts = ["read-only file system", "hidden data"]
    assert _sound([*mounts, "system call filter"], hidden, ["/usr"])
    assert _sound(["file rules", "system call filter"], hidden, ["/usr"])
    assert not _sound(["file rules", "system call filter"], hidden, ["/srv"])
    assert not _sound(["read-only file system", "system call filter"], hidden, ["/usr"])
    assert not _sound([*mounts, "file rules"], hidden, ["/usr"])
    assert not _sound(["audit hook", "system call filter"], [], ["/usr"])
