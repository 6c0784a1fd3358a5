"""nginx as an unprivileged child, with the configuration of deploy/nginx.conf."""

from __future__ import annotations

import datetime
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "localhost"
CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"


def certificate(folder: Path, called: str = NAME) -> tuple[Path, Path]:
    """A certificate for a name that signs for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(called)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    chain, secret = folder / "certificate.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, secret


def configuration(folder: Path, port: int, upstream: int) -> str:
    """deploy/nginx.conf with the replacements that it asks for, and everything that it writes in `folder`."""
    text = CONFIGURATION.read_text()
    for old, new in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "fl.example.org;": f"{NAME};",
        "/etc/ssl/potluck": str(folder),
        "127.0.0.1:7860": f"127.0.0.1:{upstream}",
        "pid /run/nginx.pid;": f"pid {folder}/nginx.pid; daemon off; master_process off;",
        "http {\n": "http {\n"
        + "".join(
            f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(program: str, folder: Path, upstream: int) -> Iterator[tuple[str, Path]]:
    """nginx in front of a server on port `upstream`: the base URL of clients, and the certificate that they trust."""
    chain, _ = certificate(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = folder / "nginx.conf"
    file.write_text(configuration(folder, port, upstream))
    user: dict[str, int] = {}
    if os.geteuid() == 0:
        user = {"user": 65534, "group": 65534}  # nobody
        for path in (folder, *folder.iterdir()):
            os.chown(path, 65534, 65534)
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and len(parent.parts) > 2:
                parent.chmod(parent.stat().st_mode | 0o011)
    log = folder / "nginx.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(file), "-e", "stderr"],
            stdout=output,
            stderr=output,
            **user,  # type: ignore[call-overload]
        )
    try:
        while True:
            with socket.socket() as knocking:
                if knocking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text()
        yield f"https://{NAME}:{port}/potluck", chain
    finally:
        process.terminate()
        process.wait(10)
