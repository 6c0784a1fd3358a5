"""`python -m potluck.agent.tied join …`: the command line, tied to its parent by the standard input.

When the parent ends, however it does, the pipe closes; then this process is asked to leave, as by SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from potluck.cli import main


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv[0] = "potluck"
    main()
