"""Run tokens: EdDSA JWTs that identify a run to the runtime API."""

import hashlib
import time
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwt.types import Options

AUDIENCE, ISSUER, TYPE = "cronium-runtime", "cronium", "cronium-run+jwt"
TWO_HOURS = 7200
MARGIN = 600  # seconds for building the sandbox before the script and storing its log after it


@dataclass(frozen=True)
class Token:
    """A signed token and its expiry in unix seconds."""

    text: str
    expires_at: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def derive_signing_key(secret: str) -> Ed25519PrivateKey:
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"cronium run tokens v1").derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(derived)


def compute_expiry(timeout_seconds: float, issued: float) -> int:
    return int(issued) + max(TWO_HOURS, int(timeout_seconds) + MARGIN)


def mint_token(key: Ed25519PrivateKey, run_id: str, timeout_seconds: float, now: float | None = None) -> Token:
    """A token for one run, valid for two hours or for its timeout and MARGIN, whichever is longer.

    The same arguments give the same token.
    """
    issued = int(time.time() if now is None else now)
    expires = compute_expiry(timeout_seconds, issued)
    claims = {"sub": run_id, "aud": AUDIENCE, "iss": ISSUER, "iat": issued, "nbf": issued - 30, "exp": expires}
    return Token(jwt.encode(claims, key, algorithm="EdDSA", headers={"typ": TYPE}), expires)


def verify_token(key: Ed25519PublicKey, token: str, run_id: str) -> None:
    """Raise jwt.InvalidTokenError unless `token` is a valid token of this run."""
    options: Options = {"require": ["sub", "aud", "iss", "exp"]}
    jwt.decode(token, key, algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER, subject=run_id, options=options)
    if jwt.get_unverified_header(token).get("typ") != TYPE:
        raise jwt.InvalidTokenError("not a run token")
