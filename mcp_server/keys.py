"""The operator's token of a data directory, for whoever may read that directory."""

from __future__ import annotations

from pathlib import Path

from federation.server_key import ServerKey
from federation.tokens import FIRST_OPERATOR, token_id_for, token_secret


def operator_token(data_dir: Path) -> str:
    """The token that the first start printed. It follows from the server's key, so nothing had to be stored."""
    key = ServerKey.of(data_dir)
    return token_secret(key, token_id_for(key, FIRST_OPERATOR))
