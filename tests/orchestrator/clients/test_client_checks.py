"""Every door that is looked for, by the line where it stands."""

from __future__ import annotations

import pytest

from orchestrator.clients.checking import MOST_CHARACTERS, check_code

DOORS = [
    "numpy.testing.runstring('import os', {})",
    "numpy.testing.measure('import os')",
    "from numpy import testing",
    "torch.utils.collect_env.run('id')",
    "torch.PyTorchFileReader('x')",
    "torch.import_ir_module(1)",
    "torch.utils.data.datapipes.iter.FileOpener",
    "from typing import operator, get_type_hints",
    "import typing; typing.operator.attrgetter('x')",
    "import typing; typing.get_type_hints(train)",
    "import functools; functools.singledispatch(train)",
    "import copy; copy.weakref",
    "import contextlib; contextlib.os.system('id')",
    "import warnings; warnings.sys",
    "g = getattr",
    "list(map(getattr, [train], ['x']))",
    "match train:\n    case object(__globals__=g): pass",
    "n = torch.nn; n.Linear = None",
    "print(torch)",
    "layer = torch.nn.Linear; layer.forward = None",
    "layer = (again := torch.nn.Linear); again.forward = None",
    "type(lesson.model).forward = None",
    "kind = type(lesson.model); kind.forward = None",
    "type('X', (object,), {'__del__': 1})",
    "from torch import nn; nn.Module.forward = None",
    "torch.backends.cudnn.enabled = False",
    "'{0.real}'.format(1)",
    "'{0[a]}'.format({})",
    "'{:{0.real}}'.format(1)",
    "str.format('{0.real}', 1)",
    "class A:\n    __match_args__ = ('__globals__',)",
    "__slots__ = ()",
    "class A:\n    def __del__(self): pass",
    "super().__reduce__()",
    "class A: pass\nA = lesson.model; A._parameters",
    "import os",
    "import sys as math",
    "import subprocess, socket",
    "import ctypes",
    "import importlib",
    "import edge_client.node",
    "import torch.hub",
    "import torch.utils.cpp_extension",
    "import numpy.ctypeslib",
    "from os import path",
    "from torch import hub",
    "from torch import *",
    "from torch.utils import cpp_extension",
    "from torch.utils.data import dataloader",
    "from numpy import load",
    "from . import secrets",
    "from edge_client.node import Node",
    "from dataclasses import sys",
    "from flwr.client import start_client",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "__import__('os')",
    "open('x')",
    "f = open",
    "input()",
    "breakpoint()",
    "globals()['x']",
    "vars(torch)",
    "setattr(torch, 'x', 1)",
    "__builtins__",
    "print(__file__)",
    "getattr(torch, 'h' + 'ub')",
    "getattr(torch, name)",
    "getattr(torch, 'hub')",
    "getattr((), '__class__')",
    "hasattr(torch, name)",
    "getattr = hasattr",
    "().__class__.__base__.__subclasses__()",
    "torch.__dict__",
    "lesson.model._parameters",
    "f'{().__class__}'",
    "'{0.__class__}'.format(())",
    "torch.hub.load('a', 'b')",
    "torch.load('x')",
    "torch.save(1, 'x')",
    "torch._C",
    "torch.utils.cpp_extension.load_inline('x', '')",
    "torch.ops.load_library('x')",
    "torch.serialization.os.system('id')",
    "torch.jit.script(1)",
    "torch.compile(1)",
    "torch.multiprocessing.spawn(1)",
    "torch.distributed.init_process_group()",
    "torch.nn.functional.importlib",
    "t = torch; t.hub",
    "math.sys",
    "dataclasses.inspect.os",
    "numpy.load('x', allow_pickle=True)",
    "numpy.fromfile('x')",
    "numpy.memmap('x')",
    "x.tofile('y')",
    "numpy.lib.npyio.DataSource()",
    "torch.nn.Linear = None",
    "torch.nn.functional.relu = print",
    "del torch.nn",
    "def __getattr__(name): pass",
    "class A:\n    def __reduce__(self): pass",
    "def f(__x): pass",
]


@pytest.mark.parametrize("line", DOORS)
def test_each_door_is_found_in_its_line(line: str) -> None:
    code = f"import torch\nimport numpy\nimport math\nimport dataclasses\n\n{line}\n"
    found = check_code(code, "pytorch")
    assert found, line
    assert {finding.line for finding in found} <= {6, 7, 8}
    assert all(finding.problem and finding.mend for finding in found)


@pytest.mark.parametrize("line", [each for each in DOORS if "flwr" in each or "os" in each])
def test_flowers_own_imports_open_no_other(line: str) -> None:
    assert check_code(line, "flower")


def test_flower_is_imported_by_flowers_clients_alone() -> None:
    code = "from flwr.clientapp import ClientApp\nfrom edge_client.flower import FlowerTrainer"
    assert check_code(code, "flower") == []
    assert [finding.line for finding in check_code(code, "pytorch")] == [1, 2]


def test_what_a_training_needs_is_no_finding() -> None:
    code = """
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

@dataclass
class Schedule:
    base: float

    def __call__(self, step):
        return self.base * math.cos(step)

class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self._scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return F.log_softmax(x * self._scale, dim=-1)

def train(lesson):
    rng = np.random.default_rng(lesson.seed)
    order = torch.from_numpy(rng.permutation(len(lesson.train)))
    optimizer = torch.optim.AdamW(lesson.model.parameters(), lr=Schedule(0.1)(0))
    optimizer.param_groups[0]["lr"] = 0.01
    for batch in order.split(8):
        noisy = lesson.train.x[batch] + 0.1 * torch.randn_like(lesson.train.x[batch])
        loss = F.cross_entropy(lesson.model(noisy), lesson.train.y[batch], label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(lesson.model.parameters(), 1.0)
    return getattr(lesson, "model").state_dict()
"""
    assert [str(finding) for finding in check_code(code, "pytorch")] == []


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def train(:", "no Python"),
        ("x = 1\n" * 20_000, f"{MOST_CHARACTERS:,}"),
        ("[" * 5_000 + "]" * 5_000, "no Python|cannot be parsed"),
        ("x\0y", "no Python|cannot be parsed"),
        ("[" + "1," * 19_000 + "]", "parts"),
    ],
)
def test_code_that_is_too_large_or_no_python_is_said_to_be(code: str, says: str) -> None:
    (found,) = check_code(code, "pytorch")
    assert any(each in str(found) for each in says.split("|"))


@pytest.mark.parametrize(
    "code",
    [
        "import copy\n\nbest = copy.deepcopy([1])",
        "import time\nimport warnings\nfrom contextlib import nullcontext\n\nbegun = time.perf_counter()\n"
        "warnings.simplefilter('ignore')",
        "print('{:.3f} of {name:>{width}}'.format(1.0, name='a', width=3))",
        "import torch.utils.data\nimport torch.optim as optim\nfrom torch.utils.data import random_split\n\n"
        "loader = torch.utils.data.DataLoader([1])\nkind = optim.SGD",
        "import torch\nfrom torch.amp import GradScaler, autocast\n\nwith torch.amp.autocast('cpu'):\n    pass",
        "import torch\n\ntorch.backends.cudnn.benchmark = True\nfast = torch.cuda.is_available()",
        "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    __slots__ = ()\n    _depth = 2\n\n"
        "    def __init__(self):\n        super(Net, self).__init__()\n"
        "        self._layer = nn.Linear(Net._depth, 1)\n\n"
        "    def __eq__(self, other):\n        return type(other) is Net\n\n    def __hash__(self):\n        return 1",
        "from collections import OrderedDict\nfrom typing import NamedTuple\nimport numpy as np\n\n"
        "np.seterr(all='ignore')\nrng = np.random.default_rng(1)",
        "match [1]:\n    case list(): pass",
    ],
)
def test_what_is_harmless_is_let_pass(code: str) -> None:
    assert [str(finding) for finding in check_code(code, "pytorch")] == []
