"""An OpenID provider on a real socket: discovery, public keys, and tokens signed at will."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "penstock"


class IdentityProvider:
    """Serves `keys` (what the JWKS lists) and counts how often it is asked for them."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.kids: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {
            "rsa": self.rsa,
            "ec": self.ec,
        }
        self.broken = False
        self.asked = 0
        self.other_issuer: str | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def jwks(self) -> dict[str, object]:
        return {
            "keys": [{**_row(key), "kid": kid, "use": "sig"} for kid, key in self.kids.items()]
        }

    def public_pem(self) -> bytes:
        return self.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def claims(self, **more: object) -> dict[str, object]:
        now_s = int(time.time())
        plain = {"iss": self.issuer, "aud": AUDIENCE, "sub": "alice@example.com",
                 "tenant": "alice", "iat": now_s, "exp": now_s + 600}  # fmt: skip
        return {name: v for name, v in {**plain, **more}.items() if v is not None}

    def token(self, *, kid: str | None = "rsa", algorithm: str = "RS256", key: Any = None,
              **claims: object) -> str:  # fmt: skip
        """A token; a claim of None is left out."""
        key = key if key is not None else self.kids.get(kid or "rsa", self.rsa)
        headers = {"kid": kid} if kid is not None else None
        return jwt.encode(self.claims(**claims), key, algorithm=algorithm, headers=headers)


def _row(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        return jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)


def _handler_for(provider: IdentityProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if provider.broken:
                self.send_error(500)
                return
            if self.path == "/jwks":
                provider.asked += 1
                body: object = provider.jwks()
            else:
                assert self.path == "/.well-known/openid-configuration"
                issuer = provider.other_issuer or provider.issuer
                body = {"issuer": issuer, "jwks_uri": f"{provider.issuer}/jwks"}
            raw = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    provider.start()
    try:
        yield provider
    finally:
        provider.end()
