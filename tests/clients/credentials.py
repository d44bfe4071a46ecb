"""Good tokens, and every kind of bad one."""

import base64
import hashlib
import hmac
import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from server import JWT_SECRET

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def claims(user_id: str = "1", username: str = "ann", expires_in: int = 600, **more) -> dict:
    return {"sub": user_id, "username": username, "exp": int(time.time()) + expires_in, **more}


def token(user_id: str = "1", username: str = "ann", **more) -> str:
    return jwt.encode(claims(user_id, username, **more), JWT_SECRET, algorithm="HS256")


def rsa_token(user_id: str = "1", username: str = "ann") -> str:
    return jwt.encode(claims(user_id, username), RSA_KEY, algorithm="RS256")


def signed_by_hand(header: dict, payload: dict, key: bytes | None) -> str:
    """HMAC-SHA-256 whatever the header claims: what a library would refuse to make."""
    signed = f"{segment(json.dumps(header).encode())}.{segment(json.dumps(payload).encode())}"
    signature = b"" if key is None else hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{segment(signature)}"


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def with_another_payload(good: str, payload: dict) -> str:
    header, _, signature = good.split(".")
    return f"{header}.{segment(json.dumps(payload).encode())}.{signature}"


def without(payload: dict, name: str) -> dict:
    return {key: value for key, value in payload.items() if key != name}


# Each must be refused where HS256 tokens signed with JWT_SECRET are asked for.
BAD_TOKENS = {
    "empty": "",
    "malformed": "not-a-token",
    "two segments": ".".join(token().split(".")[:2]),
    "a payload that is no JSON": f"{token().split('.')[0]}.{segment(b'no json')}.{token().split('.')[2]}",
    "expired": token(expires_in=-3600),
    "without exp": jwt.encode(without(claims(), "exp"), JWT_SECRET, algorithm="HS256"),
    "without a user": jwt.encode(without(claims(), "sub"), JWT_SECRET, algorithm="HS256"),
    "not yet valid": token(nbf=int(time.time()) + 3600),
    "signed with another key": jwt.encode(claims(), "another-secret-of-at-least-32-bytes!", algorithm="HS256"),
    "the signature of another payload": with_another_payload(token("1"), claims("2", "ben")),
    "alg none": signed_by_hand({"alg": "none", "typ": "JWT"}, claims(), None),
    "alg None, signed": signed_by_hand({"alg": "None", "typ": "JWT"}, claims(), JWT_SECRET.encode()),
    "HS512 with the right key": jwt.encode(claims(), JWT_SECRET, algorithm="HS512"),
    "RS256": rsa_token(),
    "RS256 in name, HMAC in fact": signed_by_hand({"alg": "RS256", "typ": "JWT"}, claims(), JWT_SECRET.encode()),
    "a join token": jwt.encode(claims(room="members"), JWT_SECRET, algorithm="HS256", headers={"typ": "trunkline-join+jwt"}),
}
