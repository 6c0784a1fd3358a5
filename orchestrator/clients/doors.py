"""What a client's code may import, and the names through which Python or its libraries leave the training."""

from __future__ import annotations

import sys


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ANYTHING = None
IMPORTS: dict[str, frozenset[str] | None] = {
    **dict.fromkeys(("math", "random", "collections", "collections.abc", "dataclasses", "typing"), ANYTHING),
    **dict.fromkeys(("functools", "itertools", "statistics", "__future__"), ANYTHING),
    **dict.fromkeys(("copy", "time", "warnings", "contextlib"), ANYTHING),
    **dict.fromkeys(("numpy", "numpy.random", "numpy.linalg", "numpy.typing", "numpy.fft"), ANYTHING),
    **dict.fromkeys(("torch", "torch.nn", "torch.nn.functional", "torch.nn.utils", "torch.nn.init"), ANYTHING),
    **dict.fromkeys(("torch.nn.parameter", "torch.nn.utils.rnn", "torch.nn.utils.parametrizations"), ANYTHING),
    **dict.fromkeys(("torch.optim", "torch.optim.lr_scheduler", "torch.optim.swa_utils"), ANYTHING),
    **dict.fromkeys(("torch.linalg", "torch.func", "torch.fft", "torch.special", "torch.distributions"), ANYTHING),
    "torch.amp": _words("autocast GradScaler"),
    "torch.autograd": _words("grad Function backward"),
    "torch.autograd.functional": _words("jacobian hessian jvp vjp hvp vhp"),
    "torch.backends.cudnn": _words("benchmark deterministic enabled"),
    "torch.backends.mps": _words("is_available is_built"),
    "torch.cuda": _words("is_available device_count manual_seed manual_seed_all empty_cache synchronize"),
    "torch.mps": _words("manual_seed empty_cache synchronize"),
    "torch.utils.data": _words(
        "DataLoader TensorDataset Dataset IterableDataset ConcatDataset Subset random_split default_collate "
        "Sampler BatchSampler RandomSampler SequentialSampler SubsetRandomSampler WeightedRandomSampler"
    ),
    "edge_client.own_client": _words("Learnt Lesson run_client"),
}
"""Modules, and which of their names; None: any that is no door and no module."""

SETTINGS = _words("torch.backends.cudnn.benchmark torch.backends.cudnn.deterministic")
"""What a client may change of libraries."""

FLOWER: dict[str, frozenset[str] | None] = {
    "flwr.app": _words("Array ArrayRecord ConfigRecord Context Error Message MessageType MetricRecord RecordDict"),
    "flwr.clientapp": _words("ClientApp"),
    "flwr.client": _words("NumPyClient"),
    "edge_client.flower": _words("FlowerTrainer current_lesson"),
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
    "PyTorchFileReader PyTorchFileWriter import_ir_module import_ir_module_from_buffer parse_ir CompilationUnit "
    "ScriptModule LiteScriptModule ScriptFunction ScriptModuleSerializer StaticModule get_file_path frompyfunc "
    "hub cpp_extension load_inline load_library load save savez savez_compressed savetxt loadtxt genfromtxt "
    "fromregex fromfile tofile memmap open_memmap from_file DataSource ctypeslib f2py distutils jit compile "
    "package onnx distributed multiprocessing serialization _C ops classes library load_state_dict_from_url "
    "share_memory_ get_type_hints get_annotations ForwardRef evaluate_forward_ref singledispatch "
    "singledispatchmethod runstring measure rundocs collect_env bmat dump dumps lazy run_module run_path system "
    "popen spawn fork execv environ getenv format format_map gi_frame cr_frame tb_frame f_globals f_builtins "
    "f_locals f_back import_module set_context get_context"
)
DOORS = (frozenset(sys.stdlib_module_names) - _HARMLESS) | _OF_LIBRARIES
"""Attributes that lead out: the standard library's modules (whatever object has them), and loaders of code or files."""

METHODS = _words(
    "__init__ __call__ __len__ __getitem__ __setitem__ __delitem__ __contains__ __iter__ __next__ __reversed__ "
    "__enter__ __exit__ __post_init__ __repr__ __str__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __bool__ "
    "__int__ __float__ __index__ __neg__ __pos__ __abs__ __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ "
    "__rmul__ __imul__ __truediv__ __rtruediv__ __itruediv__ __floordiv__ __mod__ __pow__ __matmul__ __rmatmul__ "
    "__and__ __or__ __xor__ __invert__ __copy__ __deepcopy__"
)
"""Names with two underscores that a class may define, and `super()` be asked for."""
