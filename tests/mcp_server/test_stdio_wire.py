"""Whoever prints, standard output carries nothing but messages."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, os, subprocess, sys
from mcp_server.stdio.wire import Wire

async def main():
    print("printed before", flush=True)  # which a server never does: claiming comes first
    wire = Wire.claim()
    print("printed", flush=True)
    os.write(1, b"written by a library in C\\n")
    subprocess.run([sys.executable, "-c", "import sys; print('child', repr(sys.stdin.read()), flush=True)"])
    async for line in wire.lines():
        await wire.write(line.upper())
    await wire.write("x" * 300_000)

asyncio.run(main())
"""


def test_what_is_printed_goes_to_standard_error_and_children_read_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=True,
        input="one\n\ntwo\r\nthree",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.splitlines() == ["printed before", "ONE", "TWO", "THREE", "x" * 300_000]
    assert ran.stderr.splitlines() == ["printed", "written by a library in C", "child ''"]


def test_a_host_that_is_gone_is_no_error() -> None:
    program = (
        "import asyncio, os\nfrom mcp_server.stdio.wire import Wire\nwire = Wire.claim()\n"
        "asyncio.run(wire.write('hello'))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
