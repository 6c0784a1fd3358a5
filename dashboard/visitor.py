"""Whom a page's event comes from: the token that the visitor pasted, or the name of a sign-in at Hugging Face."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from dashboard.principal import Principal


def principal_of(request: gr.Request, token: str | None) -> Principal:
    """Who the visitor is, as far as this request shows. A pasted token counts before a sign-in."""
    scope = request.request.scope if request.request is not None else {}
    address = str(request.client.host) if request.client else ""
    return Principal(token=token or None, hub_user=None if token else hub_user_of(scope), address=address)


def hub_user_of(scope: Mapping[str, Any]) -> str | None:
    """The name of the sign-in that the session cookie holds, while it lasts. Gradio signs the cookie, and only offers
    the sign-in inside a Space: `dashboard.sign_in` leaves both out elsewhere."""
    known = (scope.get("session") or {}).get("oauth_info") or {}
    user = known.get("userinfo") or {}
    name = user.get("preferred_username")
    return str(name) if name and float(known.get("expires_at") or 0) > time.time() else None
