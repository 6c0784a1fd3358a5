"""`potluck`: every command in one place. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from federation.errors import Refused
from orchestrator.llm.configured import Provider
from potluck.agent.command import agent
from potluck.dialling import CaFile, Token, Transport, Url
from potluck.offline import aggregate, simulate

app = typer.Typer(
    help="Federated learning in which every capability is an MCP tool.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"potluck {version('potluck-fl')}")
        raise typer.Exit


@app.callback()
def potluck(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Federated learning in which every capability is an MCP tool."""


@app.command()
def demo(
    nodes: Annotated[int, typer.Option(min=1, max=32, help="Node processes.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, max=1000)] = 5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 7860,
    exit_: Annotated[bool, typer.Option("--exit", help="End after the last round instead of serving on.")] = False,
) -> None:
    """See it: a server and nodes that learn handwritten digits."""
    from potluck.demo import Demo, run

    raise typer.Exit(run(Demo(nodes=nodes, rounds=rounds, seed=seed, port=port, stay=not exit_)))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: a free one.  [default: 7860]")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.  [default: potluck-data]")] = None,
    open_: Annotated[bool | None, typer.Option("--open", help="Every caller may do everything. Loopback only.")] = None,
    anonymous_role: Annotated[
        Literal["viewer", "node", "none"] | None, typer.Option(help="Callers without a token.  [default: viewer]")
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="A further host name to answer to; repeatable.")] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="Web origin of pages that call; repeatable.")] = None,
    base_path: Annotated[str | None, typer.Option(help="Path prefix under which a proxy serves Potluck.")] = None,
    ssl_certfile: Annotated[Path | None, typer.Option(help="TLS certificate chain (PEM).")] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    quota_bytes: Annotated[int | None, typer.Option(help="Most bytes that blobs may take on disk.")] = None,
    models: Annotated[Path | None, typer.Option(help="Base models of language tasks, by name.")] = None,
    llm: Annotated[Provider | None, typer.Option(help="Language model that plans.  [default: auto]")] = None,
    llm_model: Annotated[str | None, typer.Option(help="Its name.  [default: gemini-3.8-flash]")] = None,
    torch_threads: Annotated[int | None, typer.Option(min=1, help="For aggregation and evaluation.")] = None,
    dashboard: Annotated[
        bool | None, typer.Option("--dashboard/--no-dashboard", help="The pages for people at /.  [default: there]")
    ] = None,
    log_format: Annotated[Literal["text", "json"] | None, typer.Option(help="[default: text]")] = None,
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None, typer.Option(case_sensitive=False, help="[default: INFO]")
    ] = None,
    conformance: Annotated[
        bool | None, typer.Option("--conformance", hidden=True, help="For the official test suites. Loopback only.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with any of these settings.")] = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Serve an MCP host at the standard streams, by relay if a server runs.")
    ] = False,
    token: Annotated[
        str | None, typer.Option(envvar="POTLUCK_TOKEN", help="--stdio: whom to call as; default: the operator.")
    ] = None,
) -> None:
    """Run the coordinator. Flags override POTLUCK_… in the environment, which overrides --config."""
    from potluck.serve import run

    flags = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "open": open_,
        "anonymous_role": anonymous_role,
        "allow_host": allow_host or None,
        "allow_origin": allow_origin or None,
        "base_path": base_path,
        "ssl_certfile": ssl_certfile,
        "ssl_keyfile": ssl_keyfile,
        "quota_bytes": quota_bytes,
        "models": models,
        "llm": llm,
        "llm_model": llm_model,
        "torch_threads": torch_threads,
        "dashboard": dashboard,
        "log_format": log_format,
        "log_level": log_level,
        "conformance": conformance,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    run(given, config, stdio=stdio, token=token)


@app.command()
def join(
    url: Url,
    task: Annotated[str, typer.Option(help="The task to work on.")],
    data: Annotated[str | None, typer.Option(help="The task's data set, or a path to your own data.")] = None,
    index: Annotated[
        int | None, typer.Option(min=0, help="Which part of the data to hold; default: a free one.")
    ] = None,
    transport: Transport = "http",
    lane: Annotated[Literal["auto", "inband"], typer.Option(help="inband: tensors through MCP only.")] = "auto",
    token: Token = None,
    key: Annotated[Path | None, typer.Option(help="The node's key file; made if missing.")] = None,
    name: Annotated[str | None, typer.Option(help="What people read in lists of nodes.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads to train with.")] = 1,
    state_dir: Annotated[
        Path | None, typer.Option(help="What a crash must not cost is kept here; default: beside the key.")
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, help="Seconds of training between two checkpoints; 0: every step.")
    ] = 10.0,
    models: Annotated[
        Path | None, typer.Option(envvar="POTLUCK_MODELS", help="Base models by name; default: the Hub and its cache.")
    ] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="Of the adapters to train; default: the task's.")] = None,
    patience: Annotated[float | None, typer.Option(min=0, help="Seconds to try for; default: for ever.")] = None,
    ca_file: CaFile = None,
) -> None:
    """Be a node: train on your data, send what was learned."""
    from edge_client.node import Node
    from potluck.join import Watch, run

    watch = Watch()
    node = Node(
        url,
        task,
        token=token,
        data=data,
        index=index,
        transport=transport,
        lane=lane,
        key=key,
        name=name,
        threads=threads,
        ca_file=ca_file,
        state_dir=state_dir,
        checkpoint_s=checkpoint_every,
        models_dir=models,
        rank=rank,
        patience_s=patience,
        on_event=watch,
    )
    raise typer.Exit(run(node, watch))


@app.command()
def call(
    url: Url,
    tool: Annotated[str | None, typer.Argument(help="Default: list the tools.")] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="key=value; JSON where it is that. key=@file reads JSON or YAML.")
    ] = None,
    token: Token = None,
    transport: Transport = "http",
    ca_file: CaFile = None,
) -> None:
    """Call a tool and print its result as JSON."""
    from edge_client.endpoint import Endpoint
    from potluck.call import call_and_print, print_tools

    endpoint = Endpoint(url, transport, token, ca_file)
    if tool is None:
        print_tools(endpoint)
    else:
        call_and_print(endpoint, tool, arguments or [])


@app.command()
def watch(
    url: Url,
    task: Annotated[str, typer.Argument(help="The task to watch.")],
    token: Token = None,
    transport: Transport = "http",
    ca_file: CaFile = None,
) -> None:
    """Follow a task: a line a round, until it is over (exit code 0) or paused (3)."""
    from edge_client.endpoint import Endpoint
    from potluck.watch import watch as follow

    try:
        raise typer.Exit(follow(Endpoint(url, transport, token, ca_file), task))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def validate(
    url: Url,
    spec: Annotated[Path, typer.Argument(help="The task's spec, YAML or JSON.")],
    measure: Annotated[bool, typer.Option("--measure", help="Also take one real step on the server.")] = False,
    token: Token = None,
    transport: Transport = "http",
    ca_file: CaFile = None,
) -> None:
    """Check a task's spec, and what a round would cost."""
    from edge_client.endpoint import Endpoint
    from potluck.validate import validate_and_print

    raise typer.Exit(0 if validate_and_print(Endpoint(url, transport, token, ca_file), spec, measure=measure) else 1)


@app.command()
def plan(
    url: Url,
    goal: Annotated[str, typer.Argument(help='Plain words, e.g. "digits on 10 phones, non-IID, robust".')],
    spec: Annotated[Path | None, typer.Option(help="A spec to change, YAML or JSON.")] = None,
    token: Token = None,
    transport: Transport = "http",
    ca_file: CaFile = None,
) -> None:
    """Plan a task from plain words: its spec on stdout, reasons and notes on stderr."""
    from edge_client.endpoint import Endpoint
    from potluck.plan import plan_and_print

    raise typer.Exit(0 if plan_and_print(Endpoint(url, transport, token, ca_file), goal, spec) else 1)


@app.command()
def export(
    url: Url,
    task: Annotated[str, typer.Argument(help="The task whose model is wanted.")],
    out: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    version: Annotated[int | None, typer.Option(min=0, help="Default: the current one.")] = None,
    merged: Annotated[bool, typer.Option("--merged", help="Adapters merged into their base model.")] = False,
    models: Annotated[
        Path | None, typer.Option(envvar="POTLUCK_MODELS", help="--merged: base models by name; default: the Hub.")
    ] = None,
    token: Token = None,
    transport: Transport = "http",
    ca_file: CaFile = None,
) -> None:
    """Write a model version to a folder: weights, configuration and model card."""
    from edge_client.endpoint import Endpoint
    from potluck.export import export as write

    write(Endpoint(url, transport, token, ca_file), task, out, version=version, merged=merged, models=models)


app.command()(agent)
app.command()(simulate)
app.command()(aggregate)


@app.command("token")
def token_(
    url: Annotated[str | None, typer.Argument(help="The server's address.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Print the operator's token of this data directory.")] = None,
    role: Annotated[Literal["viewer", "node", "operator"], typer.Option(help="What its holder may do.")] = "node",
    label: Annotated[str | None, typer.Option(help="Whom it is for.")] = None,
    max_nodes: Annotated[int | None, typer.Option(min=1, help="How many nodes may join with it.")] = None,
    expires_in: Annotated[float | None, typer.Option(min=1, help="Seconds until it ends.")] = None,
    link: Annotated[bool, typer.Option("--link", help="Print the link that joins a browser tab instead.")] = False,
    qr: Annotated[bool, typer.Option("--qr", help="Draw that link as a QR code, and print it.")] = False,
    token: Token = None,
    transport: Transport = "http",
    ca_file: CaFile = None,
) -> None:
    """Issue a token, or print the operator's."""
    from potluck.tokens import issue, operator_token_of, show

    if (link or qr) and (url is None or role != "node"):
        raise typer.BadParameter("--link and --qr invite a node: they go with a server's URL and --role node")
    if (url is None) == (data_dir is None):
        raise typer.BadParameter("give either a server's URL or --data-dir")
    if data_dir is not None:
        typer.echo(operator_token_of(data_dir))
    elif url is not None:
        from edge_client.endpoint import Endpoint

        endpoint = Endpoint(url, transport, token, ca_file)
        issued = issue(endpoint, role=role, label=label or role, max_nodes=max_nodes, expires_in_s=expires_in)
        show(issued, link=link, qr=qr)


def main() -> None:
    """Run the command line; a refusal or a lost server is one line on stderr and exit code 1."""
    gc.set_threshold(50_000, 10, 10)  # looking for garbage after every 700 objects is a fifth of what imports take
    try:
        app()
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except ConnectionError as error:
        mend = "start one with `potluck serve`, or check the address"
        print(f"error: no server answers there: {error}. Mend: {mend}", file=sys.stderr)
        sys.exit(1)
    finally:
        gc.freeze()  # else the interpreter looks through all of torch's objects once more before it ends: a second


if __name__ == "__main__":
    main()
