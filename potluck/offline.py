"""The commands that need no server. As in `cli.py`, each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def simulate(
    data: Annotated[str, typer.Option(help="digits, mnist, fashion_mnist or cifar10.")] = "digits",
    model: Annotated[
        str, typer.Option(help="mlp, logistic, mnist_cnn, cifar10_cnn, mcmahan_cnn or mcmahan_2nn.")
    ] = "mlp",
    model_option: Annotated[list[str] | None, typer.Option(help="key=value, e.g. hidden=32; repeatable.")] = None,
    clients: Annotated[int, typer.Option(min=1, max=10_000, help="Into so many shares the data are cut.")] = 10,
    fraction: Annotated[float, typer.Option(min=0, max=1, help="Share of the clients that a round takes.")] = 1.0,
    partition: Annotated[Literal["iid", "dirichlet", "shards"], typer.Option(help="How the data are cut.")] = "iid",
    alpha: Annotated[float, typer.Option(help="dirichlet: the smaller, the more skewed.")] = 0.5,
    shards: Annotated[int, typer.Option(min=1, help="shards: label shards that a client holds.")] = 2,
    min_examples: Annotated[int, typer.Option(min=1, help="Fewest examples that a client holds.")] = 1,
    local_epochs: Annotated[int, typer.Option(min=1, help="Passes over a client's examples in a round.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    optimizer: Annotated[Literal["sgd", "adam"], typer.Option(help="Of the clients.")] = "sgd",
    lr: Annotated[float, typer.Option(help="Learning rate of the clients.")] = 0.1,
    momentum: Annotated[float, typer.Option(help="Of the clients' sgd.")] = 0.0,
    weight_decay: Annotated[float, typer.Option(help="Of the clients.")] = 0.0,
    rounds: Annotated[int, typer.Option(min=1, help="Most rounds.")] = 10,
    rule: Annotated[str, typer.Option(help="Aggregation rule; docs/rules.md lists them.")] = "fedavg",
    option: Annotated[list[str] | None, typer.Option(help="The rule's key=value, e.g. f=2; repeatable.")] = None,
    mixing: Annotated[Literal["none", "nnm", "bucketing"], typer.Option(help="Before a robust rule.")] = "none",
    weighting: Annotated[
        Literal["examples", "uniform", "capped"] | None, typer.Option(help="Of updates; default: the rule's.")
    ] = None,
    attack: Annotated[
        str | None, typer.Option(help="label_flip, sign_flip, gaussian, alie, ipm, min_max or backdoor.")
    ] = None,
    attackers: Annotated[float, typer.Option(min=0, max=1, help="Share of all clients that attack.")] = 0.0,
    engine: Annotated[
        Literal["loop", "vectorized", "processes"] | None, typer.Option(help="Default: by the model's size.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="processes: how many; default: one a core.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads to train with.")] = 1,
    target_accuracy: Annotated[float | None, typer.Option(min=0, max=1, help="Stop when it is reached.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="A JSON object a round, then a summary.")] = False,
) -> None:
    """Run a whole federation in this process: many clients, no network."""
    from potluck.simulate import run

    spec = {
        "name": "simulation",
        "model": {"id": model, "options": model_option or []},
        "data": {
            "id": data,
            "holdout": 0.0,
            "partition": {
                "kind": partition,
                "parts": clients,
                "alpha": alpha,
                "shards_per_part": shards,
                "min_examples": min_examples,
            },
        },
        "training": {
            "optimizer": optimizer,
            "epochs": local_epochs,
            "batch_size": batch_size,
            "learning_rate": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
        },
        "aggregation": {"rule": rule, "options": option or [], "mixing": mixing, "weighting": weighting},
        "cohort": {"fraction": fraction},
        "rounds": rounds,
        "seed": seed,
    }
    try:
        run(
            spec,
            engine=engine,
            attack=attack,
            attackers=attackers,
            workers=workers,
            threads=threads,
            target_accuracy=target_accuracy,
            as_json=json_,
        )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def aggregate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Of one layout: delta/<name>, or any names.")],
    out: Annotated[Path, typer.Option(help="Where the aggregated tensors go, named as in the files.")],
    rule: Annotated[str, typer.Option(help="Aggregation rule; docs/rules.md lists them.")] = "fedavg",
    weights: Annotated[
        str | None, typer.Option(help="Example counts of the files, e.g. 3,1; default: all the same.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="The rule's key=value, e.g. f=2; repeatable.")] = None,
    mixing: Annotated[Literal["none", "nnm", "bucketing"], typer.Option(help="Before a robust rule.")] = "none",
    clients: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="scaffold: how many clients the federation has.")
    ] = None,
) -> None:
    """Apply an aggregation rule to safetensors files, of deltas (delta/<name>) or of plain tensors."""
    from potluck.aggregate import run

    run(files, out, rule=rule, weights=weights, options=option or [], mixing=mixing, clients=clients)
