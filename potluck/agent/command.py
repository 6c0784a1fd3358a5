"""`potluck agent` as the command line has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from potluck.dialling import CaFile, Token, Transport, Url


def agent(
    url: Url,
    goal: Annotated[str, typer.Argument(help="What is to be trained, in plain words; not with --resume.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Grant every question; each is printed all the same.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and validate, and make nothing.")] = False,
    nodes: Annotated[int, typer.Option(min=0, max=64, help="Node processes to start on this machine.")] = 0,
    simulate: Annotated[bool, typer.Option("--simulate", help="Simulate on the server, without nodes.")] = False,
    qr: Annotated[bool, typer.Option("--qr", help="Draw the link that joins a browser tab as a QR code.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an earlier run, the latest if none is named.")
    ] = False,
    state: Annotated[Path | None, typer.Option(help="The run's file; default: by server and goal.")] = None,
    max_questions: Annotated[int | None, typer.Option(min=0, help="Stop after so many, to be resumed.")] = None,
    llm: Annotated[
        bool, typer.Option("--llm", help="Let Gemini steer, with a key of yours in GOOGLE_API_KEY.")
    ] = False,
    llm_model: Annotated[str | None, typer.Option(help="Which Gemini.")] = None,
    llm_turns: Annotated[int, typer.Option(min=1, help="Most turns that it may take.")] = 40,
    llm_tokens: Annotated[int, typer.Option(min=1, help="Most tokens that it may use.")] = 400_000,
    token: Token = None,
    transport: Transport = "http",
    ca_file: CaFile = None,
) -> None:
    """Drive a federation from a goal in plain words to a report, asking before anything is made or stopped."""
    from edge_client.endpoint import Endpoint
    from potluck.agent.run import run
    from potluck.agent.wish import Wish

    if bool(goal) == resume:
        raise typer.BadParameter("give either a goal or --resume")
    if simulate and nodes:
        raise typer.BadParameter("--simulate needs no --nodes")
    endpoint = Endpoint(url, transport, token, ca_file)
    wish = Wish(
        url=endpoint.url,
        goal=goal,
        yes=yes,
        dry_run=dry_run,
        nodes=nodes,
        simulate=simulate,
        resume=resume,
        state_file=state,
        qr=qr,
        most_questions=max_questions,
        transport=transport,
        ca_file=ca_file,
        llm=llm,
        llm_model=llm_model,
        llm_turns=llm_turns,
        llm_tokens=llm_tokens,
    )
    raise typer.Exit(run(endpoint, wish))
