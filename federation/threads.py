"""How many threads arithmetic takes, in torch and in NumPy alike.

NumPy's BLAS would take all cores for products as short as those of a block of updates. On cores that have other work
its threads wait for one another: a Gram matrix of 50 updates then took ten times as long as with one thread. One number
for both also means that the same updates make the same bits on machines with different numbers of cores.
"""

from __future__ import annotations

import numpy  # noqa: F401 - its BLAS has to be there to be told
import torch
from threadpoolctl import threadpool_limits


def use_threads(count: int) -> None:
    """For the whole process from now on."""
    torch.set_num_threads(count)
    threadpool_limits(count, "blas")
