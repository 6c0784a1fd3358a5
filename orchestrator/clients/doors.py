"""What a client's code may import, and the names through which Python or its libraries leave the training."""

from __future__ import annotations

import sys


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ANYTHING = None
IMPORTS: dict[str, frozenset[str] | None] = {
    **dict.fromkeys(("math", "random", "collections", "collections.abc", "dataclasses", "typing"), ANYTHING),
    **dict.fromkeys(("functools", "itertools", "statistics", "__future__"), ANYTHING),
    **dict.fromkeys(("numpy", "numpy.random", "numpy.linalg", "numpy.typing"), ANYTHING),
    **dict.fromkeys(("torch", "torch.nn", "torch.nn.functional", "torch.nn.utils", "torch.nn.init"), ANYTHING),
    **dict.fromkeys(("torch.optim", "torch.optim.lr_scheduler", "torch.linalg", "torch.func"), ANYTHING),
    "torch.utils.data": frozenset({"DataLoader", "TensorDataset", "Dataset", "Subset", "RandomSampler"}),
    "edge_client.own_client": frozenset({"Learnt", "Lesson", "run_client"}),
}
"""Modules, and which of their names; None: any that is no door."""

FLOWER: dict[str, frozenset[str] | None] = {
    "flwr.app": ANYTHING,
    "flwr.clientapp": frozenset({"ClientApp"}),
    "flwr.client": frozenset({"NumPyClient"}),
    "edge_client.flower": frozenset({"FlowerTrainer", "current_lesson"}),
}
"""What a client of Flower's may import as well."""

BUILTINS = _words(
    "eval exec compile open input breakpoint globals locals vars dir setattr delattr memoryview exit quit help "
    "copyright credits license"
)
"""Built-in names that a training has no use for."""

_HARMLESS = _words(
    "math random collections copy select statistics dataclasses typing array numbers cmath fractions decimal string "
    "time queue functools itertools abc operator enum types signal code token trace profile calendar test"
)
_OF_LIBRARIES = _words(
    "hub cpp_extension load_inline load_library load save savez savez_compressed savetxt loadtxt genfromtxt "
    "fromregex fromfile tofile memmap open_memmap from_file DataSource ctypeslib f2py distutils jit compile package "
    "onnx distributed multiprocessing serialization _C ops classes library load_state_dict_from_url share_memory_ "
    "lazy run_module run_path system popen spawn fork execv environ getenv format format_map gi_frame cr_frame "
    "tb_frame f_globals f_builtins f_locals f_back import_module set_context get_context"
)
DOORS = (frozenset(sys.stdlib_module_names) - _HARMLESS) | _OF_LIBRARIES
"""Attributes that lead out: the standard library's modules (whatever object has them), and loaders of code or files."""

METHODS = _words("__init__ __call__ __len__ __getitem__ __iter__ __next__ __enter__ __exit__ __post_init__ __repr__")
"""Names with two underscores that a class may define, and `super()` be asked for."""
