"""Strangers' images: the formats that are read, and nothing else is tried on their bytes."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Of the forty that Pillow knows: it hands some to other programs, PostScript to Ghostscript."""


def opened(source: Path | IO[bytes]) -> Image.Image:
    """The image's header, with its pixels to come. Whatever a stranger's bytes make of the decoders is raised."""
    return Image.open(source, formats=FORMATS)
