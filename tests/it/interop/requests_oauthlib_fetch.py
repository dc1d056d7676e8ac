"""requests-oauthlib fetches tokens, with both ways to authenticate, and uses one."""

import os

# Everything here is on 127.0.0.1.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError, OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

issuer, client_id, secret = (os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"))
url = f"{issuer}/oauth/token"


def fetch(scope=None, **how):
    session = OAuth2Session(client=BackendApplicationClient(client_id=client_id, scope=scope))
    return session, session.fetch_token(url, **how)


ways = (
    {"auth": HTTPBasicAuth(client_id, secret)},
    {"client_id": client_id, "client_secret": secret, "include_client_id": True},
    # Basic, and the client_id in the body as well.
    {"auth": HTTPBasicAuth(client_id, secret), "include_client_id": True},
)
for how in ways:
    _, token = fetch(**how)
    assert token["token_type"] == "Bearer" and token["scope"] == ["orders:read", "orders:write"], token
    _, token = fetch(scope=["orders:read"], **how)
    assert token["scope"] == ["orders:read"], token

try:
    fetch(auth=HTTPBasicAuth(client_id, "wrong"))
except InvalidClientError as error:
    assert error.status_code == 401 and error.description, error
else:
    raise AssertionError("a wrong secret was not refused")

try:
    fetch(scope=["orders:delete"], auth=HTTPBasicAuth(client_id, secret))
except OAuth2Error as error:
    assert error.error == "invalid_scope" and "orders:delete" in error.description, error
else:
    raise AssertionError("a scope that was not granted was not refused")

# A token of somebody else's API is not one for ours: the header arrives, and the refusal is a Bearer one.
session, _ = fetch(auth=HTTPBasicAuth(client_id, secret))
answer = session.get(f"{issuer}/api/v1/whoami")
assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer "), answer.headers
assert answer.json()["reason"] == "token_invalid", answer.text

print("all good")
