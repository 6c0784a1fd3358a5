"""What has to be reached (the bar) and where we want to end (the goal), for every figure that is judged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A bound on one figure; `more_is_better` turns it round."""

    what: str
    unit: str
    bar: float
    goal: float
    more_is_better: bool = False

    def meets(self, value: float, bound: float) -> bool:
        """Whether a value is within a bound; NaN is within none."""
        return value >= bound if self.more_is_better else value <= bound

    def verdict(self, value: float) -> str:
        """`goal`, `bar` or `not met`: the best that the value reaches."""
        if self.meets(value, self.goal):
            return "goal"
        return "bar" if self.meets(value, self.bar) else "not met"


BARS: dict[str, Bar] = {
    "round": Bar("a round, 4 node processes, 1 MB model, no training", "s", 0.5, 0.2),
    "raw_up": Bar("raw lane up, 100 MiB, hashed, checked, on disk", "CPU-s", 0.25, 0.13),
    "raw_up_memory": Bar("raw lane up, 100 MiB, extra memory", "MB", 32, 32),
    "fold": Bar("FedAvg fold, per core", "GB/s", 5, 7, more_is_better=True),
    "fold_memory": Bar("memory of a fold above the base, in models, at the largest N", "models", 2, 1.5),
    "fold_flat": Bar("growth of that memory from the smallest to the largest N", "models", 0.25, 0.1),
    "serving": Bar("get_task while a round is folded and scored, p99", "ms", 200, 50),
    "noop": Bar("tools/call of a no-op, CPU, against the bare SDK", "ratio", 1.2, 1.1),
    "idle": Bar("an idle node", "KiB", 200, 150),
    "checkpoints": Bar("a node's time that goes into checkpoints, mnist_cnn", "%", 5, 1),
    "simulated_100": Bar("a simulated round, digits MLP, all of 100 clients", "s", 0.02, 0.012),
    "simulated_1000": Bar("a simulated round, digits MLP, all of 1,000 clients", "s", 0.2, 0.13),
    "simulated_memory": Bar("memory of the process that simulates them", "GB", 0.6, 0.6),
    "trimmed_mean": Bar("trimmed mean, 50 updates of 10 MB", "CPU-s", 0.6, 0.4),
    "krum": Bar("Krum, 50 updates of 10 MB", "CPU-s", 0.35, 0.25),
    "rules_flat": Bar("memory that those two add from 8 updates to all", "MB", 32, 16),
    "lora_merge": Bar("exact merge of 4 adapters, SmolLM2-135M's shapes, r = 8", "CPU-ms", 50, 35),
    "lora_error": Bar("its error above the best of that rank, in the worst layer", "", 1e-4, 1e-6),
    "lora_server": Bar("memory that closing a round of 16 such adapters adds to the server", "MB", 64, 32),
    "churn": Bar("rounds of 200 nodes, 30 % vanishing, over at their deadline", "share", 1, 1, more_is_better=True),
    "web_mlp_jax": Bar("CPU a step, MLP: jax-js on WebGPU of ours on WebGPU", "ratio", 1.5, 2, more_is_better=True),
    "web_cnn_jax": Bar(
        "CPU a step, mnist_cnn: jax-js on WebGPU of ours on WebGPU", "ratio", 1.5, 2, more_is_better=True
    ),
    "web_mlp_tfjs": Bar("CPU a step, MLP: tfjs on WebGPU of ours on WebGPU", "ratio", 8, 8, more_is_better=True),
    "web_cnn_tfjs": Bar("CPU a step, mnist_cnn: tfjs on WebGPU of ours on WebGPU", "ratio", 8, 8, more_is_better=True),
    "web_mlp_cpu": Bar("CPU a step, MLP: tfjs on wasm of our CPU engine", "ratio", 1, 1, more_is_better=True),
    "web_cnn_cpu": Bar("CPU a step, mnist_cnn: tfjs on cpu of our CPU engine", "ratio", 1, 1, more_is_better=True),
    "web_own": Bar("our own code of a visit, on WebGPU, gzipped", "KB", 40, 40),
    "web_page": Bar("the whole page until it trains on WebGPU, gzipped", "KB", 160, 160),
}
