"""The openai package, as programs use it: all it knows are OPENAI_BASE_URL and OPENAI_API_KEY.

Each line of stdin is a call. Each line of stdout is what came of it, or, of a stream, a part of it.
"""

import json
import sys

from openai import APIStatusError, OpenAI

once = OpenAI(max_retries=0, timeout=20)
# As it is by default: it waits as long as it is told to, and tries again.
patient = OpenAI(timeout=20)
prompt = {"model": "stub-1", "messages": [{"role": "user", "content": "Hello"}]}


def say(**what):
    print(json.dumps(what), flush=True)


def stream():
    for chunk in once.chat.completions.create(stream=True, **prompt):
        say(delta=chunk.choices[0].delta.content)
    say(end=True)


calls = {
    "models": lambda: say(models=[model.id for model in once.models.list()]),
    "patient": lambda: say(models=[model.id for model in patient.models.list()]),
    "chat": lambda: say(said=once.chat.completions.create(**prompt).choices[0].message.content),
    "stream": stream,
}

for line in sys.stdin:
    try:
        calls[line.strip()]()
    except APIStatusError as error:
        say(
            error=type(error).__name__,
            status=error.status_code,
            retry_after=error.response.headers.get("retry-after"),
            body=error.body,
        )
