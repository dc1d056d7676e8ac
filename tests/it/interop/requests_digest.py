"""HTTPDigestAuth of requests logs in with a Digest key, and so does a few lines' worth of SHA-512-256."""

import hashlib
import os
import re

import requests
from requests.auth import HTTPDigestAuth

url, guarded = os.environ["URL"], os.environ["GUARDED"]
user, password, client_id = (os.environ[name] for name in ("PUBLIC_KEY", "PRIVATE_KEY", "CLIENT_ID"))

session = requests.Session()
session.auth = HTTPDigestAuth(user, password)
# The first is challenged; the others go on with its nonce.
for number in range(5):
    answer = session.get(url, params={"n": number, "text": "a b/ü"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["claims"]["sub"] == client_id, answer.text
    assert len(answer.history) == (1 if number == 0 else 0), answer.history

# Another URL with the same nonce, as a proxy asks about it: what is signed is what its client asked for.
answer = session.get(guarded)
assert answer.status_code == 200 and answer.headers["X-Auth-Client-Id"] == client_id, answer.text

answer = requests.get(url, auth=HTTPDigestAuth(user, password + "x"))
assert answer.status_code == 401 and answer.json()["reason"] == "digest_invalid", answer.text

# SHA-512-256, which requests does not know.
lines = requests.get(url).raw.headers.getlist("www-authenticate")
line = next(line for line in lines if line.startswith("Digest ") and "SHA-512-256" in line)
challenge = {name.lower(): value for name, value in re.findall(r'(\w+)="?([^",]+)"?', line)}


def hashed(text):
    return hashlib.new("sha512_256", text.encode()).hexdigest()


secret = hashed(f"{user}:{challenge['realm']}:{password}")
uri = requests.Request("GET", url).prepare().path_url
response = hashed(f"{secret}:{challenge['nonce']}:00000001:0a4f:auth:{hashed('GET:' + uri)}")
parameters = (
    f'username="{user}", realm="{challenge["realm"]}", nonce="{challenge["nonce"]}", uri="{uri}", '
    f'algorithm=SHA-512-256, qop=auth, nc=00000001, cnonce="0a4f", response="{response}", opaque="{challenge["opaque"]}"'
)
for status in (200, 401):
    answer = requests.get(url, headers={"Authorization": f"Digest {parameters}"})
    assert answer.status_code == status, answer.text
assert answer.json()["reason"] == "digest_stale" and "stale=true" in answer.headers["WWW-Authenticate"], answer.headers

print("all good")
