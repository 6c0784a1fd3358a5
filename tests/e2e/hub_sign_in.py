"""A stand-in for Hugging Face's sign-in: OpenID Connect with signed identities, for whom the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import uvicorn
from joserfc import jwk, jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

CLIENT, SECRET = "the-space", "the-secret-of-the-space"


@dataclass
class HubSignIn:
    """The service. `user` is who signs in next."""

    base: str = ""
    user: str = "ada"
    codes: dict[str, str] = field(default_factory=dict)
    key: jwk.RSAKey = field(default_factory=lambda: jwk.RSAKey.generate_key(2048, {"kid": "one"}))

    def app(self) -> Starlette:
        """Its four endpoints."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/oauth/authorize", self.authorize),
                Route("/oauth/token", self.token, methods=["POST"]),
                Route("/oauth/jwks", self.keys),
            ]
        )

    async def discovery(self, _: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": self.base,
                "authorization_endpoint": f"{self.base}/oauth/authorize",
                "token_endpoint": f"{self.base}/oauth/token",
                "jwks_uri": f"{self.base}/oauth/jwks",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def authorize(self, request: Request) -> RedirectResponse:
        asked = request.query_params
        assert asked["client_id"] == CLIENT
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked["nonce"]
        back = asked["redirect_uri"]
        return RedirectResponse(
            f"{back}{'&' if '?' in back else '?'}{urlencode({'code': code, 'state': asked['state']})}"
        )

    async def token(self, request: Request) -> JSONResponse:
        form = await request.form()
        nonce, now = self.codes.pop(str(form["code"])), int(time.time())
        claims: dict[str, Any] = {"iss": self.base, "aud": CLIENT, "sub": self.user, "iat": now, "exp": now + 600}
        claims |= {"nonce": nonce, "preferred_username": self.user, "name": self.user, "profile": "", "picture": ""}
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        return JSONResponse({"access_token": "hf-token", "token_type": "bearer", "expires_in": 600, "id_token": signed})

    async def keys(self, _: Request) -> JSONResponse:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})


@contextmanager
def sign_in_service() -> Iterator[HubSignIn]:
    """The service on a free port of loopback."""
    hub = HubSignIn()
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            hub.base = f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"
            started.set()

    server = Server(uvicorn.Config(hub.app(), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield hub
    finally:
        server.should_exit = True
        thread.join(10)
