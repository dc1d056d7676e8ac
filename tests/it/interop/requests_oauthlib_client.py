"""requests-oauthlib fetches a token and calls a guarded route with it."""
import os
import sys

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # http on loopback

from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

issuer, client_id, secret = sys.argv[1:]
session = OAuth2Session(client=BackendApplicationClient(client_id=client_id))
session.fetch_token(f"{issuer}/oauth/token", client_id=client_id, client_secret=secret)
answer = session.get(f"{issuer}/api/v1/whoami")
assert answer.status_code == 200 and answer.json()["claims"]["client_id"] == client_id, answer.text
print("good")
