"""FedAvg over a model of the size asked for; writes down when each round ended."""

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds that the run config asks for."""
    config = context.run_config
    values = int(float(config["megabytes"]) * 1_000_000 / 4)
    arrays = ArrayRecord([np.zeros(values, np.float32)])
    ends: list[float] = []
    nodes = int(config["nodes"])
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    strategy.start(
        grid=grid,
        initial_arrays=arrays,
        num_rounds=int(config["rounds"]),
        evaluate_fn=lambda number, arrays: ends.append(time.time()),
    )
    draft = Path(str(config["times"]) + ".part")
    draft.write_text(json.dumps(ends))
    draft.rename(str(config["times"]))
