"""Tokens for people and for the enrolment of nodes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from federation.errors import ErrorCode, Refused
from federation.tokens import FIRST_OPERATOR, Role
from tools.arguments import RequestId
from tools.context import Ctx, current_caller, potluck
from tools.invitations import MOST_BASE_URL, checked_base, invitation
from tools.invitations import qr_svg as picture_of


class Issued(BaseModel):
    """A token, or its end."""

    token_id: str
    role: str | None
    token: str | None = Field(description="the bearer token: shown to you alone, keep it")
    expires_at: float | None
    max_nodes: int | None
    revoked: bool
    link: str | None = Field(default=None, description="role node: opens in a browser, which joins; holds the token")
    qr_svg: str | None = Field(default=None, description="the link, if base_url was given")


async def issue_token(
    ctx: Ctx,
    request_id: RequestId,
    role: Annotated[
        Literal["viewer", "node", "operator"] | None, Field(description="node: enrols nodes; the others are people.")
    ] = None,
    label: Annotated[str, Field(max_length=80, description="Whom it is for.")] = "",
    max_nodes: Annotated[int | None, Field(ge=1, le=1_000_000, description="node: how many it may enrol.")] = None,
    expires_in_s: Annotated[float | None, Field(gt=0, le=10 * 365 * 86_400)] = None,
    base_url: Annotated[
        str | None,
        Field(max_length=MOST_BASE_URL, description="node: this server's public URL; answers an absolute link."),
    ] = None,
    revoke: Annotated[str | None, Field(max_length=64, description="Instead: a token_id to revoke.")] = None,
) -> Issued:
    """Issue a bearer token for a person or for the enrolment of nodes, or revoke one. Safe to repeat with the same
    request_id."""
    tokens, actor = potluck(ctx).federation.tokens, current_caller().token_id
    if (role is None) == (revoke is None):
        raise Refused(ErrorCode.INVALID_ARGUMENT, "give role to issue a token, or revoke to end one.", "one of the two")
    if revoke is not None:
        await tokens.revoke(revoke, actor=actor)
        return Issued(token_id=revoke, role=None, token=None, expires_at=None, max_nodes=None, revoked=True)
    if request_id == FIRST_OPERATOR:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT, f"request_id {request_id!r} is the server's own.", "use another request_id"
        )
    for name, value in (("max_nodes", max_nodes), ("base_url", base_url)):
        if role != "node" and value is not None:
            raise Refused(ErrorCode.INVALID_ARGUMENT, f"{name} belongs to the role node.", "leave it out")
    base = None if base_url is None else checked_base(potluck(ctx), base_url)
    token, _ = await tokens.issue(
        Role(role or "viewer"),
        label=label,
        request_id=request_id,
        actor=actor,
        max_nodes=max_nodes,
        lifetime_s=expires_in_s,
    )
    link = invitation(token.secret) if token.role is Role.NODE else None
    if link is not None and base is not None:
        link = f"{base}/{link}"
    return Issued(
        token_id=token.token_id,
        role=token.role.value,
        token=token.secret,
        expires_at=token.expires_at,
        max_nodes=token.max_nodes,
        revoked=False,
        link=link,
        qr_svg=None if link is None or base is None else picture_of(link),
    )
