"""PyJWT finds the keys by itself, with its default settings, and verifies what was issued, and nothing else."""

import base64
import os

import jwt
import requests

issuer, audience, algorithm = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "ALGORITHM"))
credentials = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])

metadata = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=20).json()
assert metadata["issuer"] == issuer, metadata
answer = requests.post(
    metadata["token_endpoint"], data={"grant_type": "client_credentials"}, auth=credentials, timeout=20
)
assert answer.status_code == 200, answer.text
token = answer.json()["access_token"]
assert jwt.get_unverified_header(token)["alg"] == algorithm

keys = jwt.PyJWKClient(metadata["jwks_uri"])


def verify(token, audience=audience, issuer=issuer, algorithms=(algorithm,)):
    key = keys.get_signing_key_from_jwt(token)
    required = {"require": ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"]}
    return jwt.decode(token, key, algorithms=list(algorithms), audience=audience, issuer=issuer, options=required)


claims = verify(token)
assert claims["sub"] == claims["client_id"] == credentials[0], claims
assert claims["scope"] == "orders:read orders:write", claims
assert claims["exp"] - claims["iat"] == 3600, claims

# The key says what it is for, so that nobody has to.
assert keys.get_signing_key_from_jwt(token).algorithm_name == algorithm
assert keys.get_signing_key_from_jwt(token).public_key_use == "sig"

head, payload, signature = token.split(".")
changed = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
changed[10] ^= 1
tampered = ".".join((head, payload, base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()))
for what, call in (
    ("a changed signature", lambda: verify(tampered)),
    ("another audience", lambda: verify(token, audience="https://stock.example")),
    ("another issuer", lambda: verify(token, issuer=issuer + "/")),
    ("another algorithm", lambda: verify(token, algorithms=("RS256",))),
):
    try:
        call()
    except jwt.InvalidTokenError:
        pass
    else:
        raise AssertionError(f"{what} was taken")

print("all good")
