"""authlib fetches a token, PyJWT verifies it through the JWKS: default settings on both sides."""
import sys

import jwt
import requests
from authlib.integrations.requests_client import OAuth2Session

issuer, client_id, secret, audience, scope, algorithm = sys.argv[1:]

metadata = requests.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=10).json()
assert metadata["issuer"] == issuer, metadata
for method in metadata["token_endpoint_auth_methods_supported"]:
    session = OAuth2Session(client_id, secret, token_endpoint_auth_method=method, scope=scope)
    token = session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    assert token["token_type"] == "Bearer" and token["scope"] == scope, token
    access_token = token["access_token"]
    key = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(access_token)
    claims = jwt.decode(access_token, key, algorithms=[algorithm], audience=audience, issuer=issuer)
    assert claims["client_id"] == client_id and claims["scope"] == scope, claims
    try:
        jwt.decode(access_token, key, algorithms=[algorithm], audience="https://other.example", issuer=issuer)
        raise SystemExit("another audience was accepted")
    except jwt.InvalidAudienceError:
        pass

answer = requests.get(f"{issuer}/api/v1/whoami", headers={"Authorization": f"Bearer {access_token}"}, timeout=10)
assert answer.status_code == 401 and answer.json()["reason"] == "token_invalid", answer.text

wrong = OAuth2Session(client_id, secret + "x", token_endpoint_auth_method="client_secret_basic")
try:
    wrong.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    raise SystemExit("a wrong secret was accepted")
except Exception as error:  # authlib's own, which names the code of RFC 6749
    assert "invalid_client" in str(error), error
print("good")
