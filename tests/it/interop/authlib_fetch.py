"""Authlib fetches tokens, with both ways to authenticate, and says what was refused."""

import os

# Everything here is on 127.0.0.1.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

issuer, client_id, secret = (os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"))


def session(method, secret=secret, **more):
    return OAuth2Session(client_id, secret, token_endpoint_auth_method=method, **more)


endpoint = session("client_secret_basic").get(f"{issuer}/.well-known/oauth-authorization-server", withhold_token=True)
metadata = endpoint.json()
assert metadata["grant_types_supported"][0] == "client_credentials", metadata
token_endpoint = metadata["token_endpoint"]

for method in ("client_secret_basic", "client_secret_post"):
    assert method in metadata["token_endpoint_auth_methods_supported"], metadata
    token = session(method).fetch_token(token_endpoint, grant_type="client_credentials")
    assert token["token_type"] == "Bearer" and token["access_token"].count(".") == 2, token
    assert token["scope"] == "orders:read orders:write", token
    assert token["expires_at"] > 0 and not token.is_expired(), token
    narrowed = session(method, scope="orders:read").fetch_token(token_endpoint, grant_type="client_credentials")
    assert narrowed["scope"] == "orders:read", narrowed
    for wrong, expected in (
        ({"secret": "wrong"}, "invalid_client"),
        ({"scope": "orders:delete"}, "invalid_scope"),
    ):
        try:
            session(method, **wrong).fetch_token(token_endpoint, grant_type="client_credentials")
        except OAuthError as error:
            assert error.error == expected, error
            assert error.description, error
        else:
            raise AssertionError(f"{method} with {list(wrong)} was not refused")

print("all good")
