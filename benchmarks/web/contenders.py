"""Who is measured: each library on each of its backends that can train."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "Potluck"


@dataclass(frozen=True)
class Contender:
    """A library (`peer`, of `bundle.ENTRIES`) on one backend, the browser's further flags, and what it can train."""

    title: str
    peer: str
    backend: str
    flags: tuple[str, ...] = ()
    models: tuple[str, ...] = ("mlp", "mnist_cnn")

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.title}, {self.backend}"


_TFJS = "tfjs 4.22"
CONTENDERS = (
    Contender(OURS, "potluck", "webgpu"),
    Contender(OURS, "potluck", "cpu"),
    Contender("jax-js 0.1.25", "jax", "webgpu"),
    Contender("jax-js 0.1.25", "jax", "wasm"),
    Contender(_TFJS, "tfjs", "webgpu"),
    Contender(_TFJS, "tfjs", "webgl", ("--enable-unsafe-swiftshader",)),
    Contender(_TFJS, "tfjs", "wasm", models=("mlp",)),  # it has no kernel for the gradient of a filter
    Contender(_TFJS, "tfjs", "cpu"),
)
RATIOS = (
    # bar, model, ours, the peer
    ("web_mlp_jax", "mlp", "webgpu", ("jax", "webgpu")),
    ("web_cnn_jax", "mnist_cnn", "webgpu", ("jax", "webgpu")),
    ("web_mlp_tfjs", "mlp", "webgpu", ("tfjs", "webgpu")),
    ("web_cnn_tfjs", "mnist_cnn", "webgpu", ("tfjs", "webgpu")),
    ("web_mlp_cpu", "mlp", "cpu", ("tfjs", "wasm")),
    ("web_cnn_cpu", "mnist_cnn", "cpu", ("tfjs", "cpu")),
)
