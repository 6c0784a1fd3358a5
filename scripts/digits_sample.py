#!/usr/bin/env python3
"""Writes the digits sample of the browser node, `web/src/data/digits.bin`, from the catalogue's data set `digits`.

The file is a gzip member of 1,797 × 65 bytes: the first pixel of every image, then the second of every image and so on
(neighbours in that order are alike, which saves a tenth), each 0..16; then every label. Images stand in the order of
the training set, then of the test set. The tab unpacks it with `DecompressionStream('gzip')`.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np

SAMPLE = Path(__file__).resolve().parent.parent / "web" / "src" / "data" / "digits.bin"


def payload() -> bytes:
    """The bytes before packing."""
    from resources.datasets.digits import Digits

    splits = [Digits().pixels("train"), Digits().pixels("test")]
    x = np.concatenate([split.x.reshape(len(split.y), -1) for split in splits])
    y = np.concatenate([split.y for split in splits]).astype(np.uint8)
    return x.T.tobytes() + y.tobytes()


def packed(data: bytes) -> bytes:
    """A gzip member without a date, so that equal values make equal files (with one version of zlib)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    return packer.compress(data) + packer.flush()


if __name__ == "__main__":
    sys.path.insert(0, str(SAMPLE.parents[3]))
    SAMPLE.write_bytes(packed(payload()))
    print(f"{SAMPLE}: {SAMPLE.stat().st_size} bytes")
