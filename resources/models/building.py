"""Building models, one thread at a time.

While they build or read a model, transformers and PEFT put functions of their own in the place of PyTorch's
(`Module.register_parameter`, those of `torch.nn.init`, the default dtype), for the whole process. Two of them at once
put back the wrong ones, and a model that another thread builds meanwhile has no weights. So whoever builds modules, of
any kind, holds BUILDING.
"""

from __future__ import annotations

import threading

BUILDING = threading.RLock()
