"""The repository that the local GitHub starts with: a small service, and a pull request that touches all of it.

Author and times are fixed and nothing is compressed by a library, so the SHAs are the same on every machine.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

from local.github.model import File

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.github.model import FileContent

FULL_NAME = "octo-org/hello-pullback"
FORK = "mona/hello-pullback"
DESCRIPTION = "Says hello, politely"
BASE_REF = "main"
HEAD_REF = "add-languages"
NUMBER = 7
TITLE = "Greet people in three languages 👋"
BODY = "Hello was English only. This adds German and French, and a friendlier logo.\n\nCloses #5"
INSTALLATION_ID = 58213407
SENDER = "octocat"

AUTHOR = "Mona Octocat"
AUTHOR_EMAIL = "octocat@users.noreply.github.com"
FIRST_COMMIT_TIME = 1772442000
"""2026-03-02T09:00:00Z in seconds since the epoch."""


def base_files() -> Mapping[str, FileContent]:
    """The first commit: the tree of the base branch."""
    return {
        ".github/CODEOWNERS": CODEOWNERS,
        ".github/workflows/ci.yml": WORKFLOW,
        ".gitignore": b"__pycache__/\n.venv/\ndist/\n",
        "CHANGELOG.md": b"# Changelog\n\n## 1.2.0\n\n- Greets people by name.\n",
        "README.md": README,
        "assets/logo.png": png(16, 16, seed="logo"),
        "docs/README.md": File(b"index.md", symlink=True),
        "docs/deploy.md": DEPLOY,
        "docs/index.md": b"# hello-pullback\n\nA service that says hello.\n\n- [Deploy](deploy.md)\n",
        "infra/config.json": CONFIG,
        "infra/environments.toml": ENVIRONMENTS,
        "infra/template.yaml": TEMPLATE,
        "pyproject.toml": PYPROJECT,
        "scripts/release.sh": File(RELEASE, executable=True),
        "src/hello/__init__.py": b'"""Says hello, politely."""\n',
        "src/hello/app.py": APP,
        "src/hello/greeting.py": GREETING,
        "src/hello/legacy.py": LEGACY,
        "tests/test_greeting.py": TEST_GREETING,
        "uv.lock": LOCK,
    }


def pull_request_commits() -> Iterator[tuple[str, Mapping[str, FileContent]]]:
    """The commits of the pull request, each with its message and what it does to the tree."""
    yield (
        "Greet in German and French",
        {
            "src/hello/greeting.py": GREETING_NEW,
            "src/hello/languages.py": LANGUAGES,
            "src/hello/app.py": APP.replace(b'greet(query.get("name", ""))', APP_NEW_CALL),
            "src/hello/legacy.py": None,
            "tests/test_greeting.py": TEST_GREETING_NEW,
        },
    )
    yield (
        "Ship it: dependency, workflow, documentation, logo",
        {
            ".github/workflows/ci.yml": WORKFLOW.replace(b'["3.12"]', b'["3.12", "3.13"]').replace(
                b"      - run: uv run pytest\n",
                b"      - run: uv run ruff check .\n      - run: uv run pytest\n",
            ),
            "CHANGELOG.md": b"# Changelog\n\n## 1.3.0\n\n- Greets people in three languages.\n\n"
            b"## 1.2.0\n\n- Greets people by name.\n",
            "assets/logo.png": png(16, 16, seed="a friendlier logo"),
            "docs/deploy.md": None,
            "docs/index.md": b"# hello-pullback\n\nA service that says hello in three languages.\n\n"
            b"- [Operations](operations.md)\n",
            "docs/operations.md": DEPLOY.replace(b"# Deploy", b"# Operations") + DEPLOY_ADDED,
            "infra/config.json": CONFIG.replace(b'"en"\n', b'"en",\n    "de",\n    "fr"\n'),
            "infra/template.yaml": TEMPLATE.replace(b"MemorySize: 128", b"MemorySize: 256"),
            "pyproject.toml": PYPROJECT.replace(b'"1.2.0"', b'"1.3.0"').replace(b"babel>=2.16", b"babel>=2.17"),
            "uv.lock": LOCK_NEW,
        },
    )


def pushed_files(changelog: bytes) -> Mapping[str, FileContent]:
    """What a push changes when nobody says what: one more line of the changelog."""
    return {"CHANGELOG.md": changelog + b"- Spelling.\n"}


def png(width: int, height: int, *, seed: str) -> bytes:
    """A valid RGB image of noise, which stays the same for the same seed and does not compress."""
    noise = b"".join(b"\x00" + hashlib.shake_256(f"{seed} {line}".encode()).digest(3 * width) for line in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", _stored(noise)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _stored(data: bytes) -> bytes:
    """A zlib stream without compression, made by hand: builds of zlib differ in the bytes that they write."""
    block = struct.pack("<BHH", 1, len(data), len(data) ^ 0xFFFF)
    return b"\x78\x01" + block + data + struct.pack(">I", zlib.adler32(data))


README = b"""\
# hello-pullback

Says hello, politely.

```
uv run python -m hello.app
curl 'http://localhost:8000/?name=Mona'
```

See [docs](docs/index.md).
"""

CODEOWNERS = b"""\
*                   @octo-org/hello
/.github/           @octo-org/platform
/infra/             @octo-org/platform
/uv.lock            @octo-org/supply-chain
"""

WORKFLOW = b"""\
name: ci
on:
  pull_request:
  push:
    branches: [main]
permissions:
  contents: read
jobs:
  test:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        python: ["3.12"]
    steps:
      - uses: actions/checkout@v4
      - uses: astral-sh/setup-uv@v5
        with:
          python-version: ${{ matrix.python }}
      - run: uv sync --locked
      - run: uv run pytest
"""

DEPLOY = b"""\
# Deploy

The service is one function behind an HTTP API.

1. Check what would change: `sam deploy --no-execute-changeset`.
2. Deploy: `sam deploy --config-env staging`.
3. Look at the dashboard for ten minutes.
4. Deploy to production: `sam deploy --config-env production`.

To go back, deploy the tag before.
"""

DEPLOY_ADDED = b"""
## Languages

The languages are listed in `infra/config.json`; a change needs a deploy.
"""

CONFIG = b"""\
{
  "service": "hello",
  "log_level": "INFO",
  "languages": [
    "en"
  ]
}
"""

ENVIRONMENTS = b"""\
[staging]
stack = "hello-staging"
alarms = false

[production]
stack = "hello-production"
alarms = true
"""

TEMPLATE = b"""\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Description: Says hello
Parameters:
  Environment:
    Type: String
    AllowedValues: [staging, production]
Resources:
  HelloFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src/
      Handler: hello.app.handler
      Runtime: python3.13
      MemorySize: 128
      Environment:
        Variables:
          ENVIRONMENT:
            Ref: Environment
      Events:
        Hello:
          Type: HttpApi
"""

PYPROJECT = b"""\
[project]
name = "hello-pullback"
version = "1.2.0"
requires-python = ">=3.12"
dependencies = ["babel>=2.16"]

[dependency-groups]
dev = ["pytest>=8", "ruff>=0.9"]
"""

RELEASE = b"""\
#!/bin/sh
# Tags the version of pyproject.toml.
set -eu
version=$(sed -n 's/^version = "\\(.*\\)"/\\1/p' pyproject.toml)
git tag --annotate "v$version" --message "v$version"
git push origin "v$version"
"""

APP = b'''\
"""The HTTP side."""

import json

from hello.greeting import greet


def handler(event, context):
    """Answer a request of an HTTP API."""
    query = event.get("queryStringParameters") or {}
    text = greet(query.get("name", ""))
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"greeting": text}),
    }
'''

APP_NEW_CALL = b'greet(query.get("name", ""), language=query.get("language", "en"))'

GREETING = b'''\
"""What to say."""


def greet(name: str) -> str:
    """A polite greeting, also for people without a name."""
    name = name.strip()
    if not name:
        return "Hello!"
    return f"Hello, {name}!"
'''

GREETING_NEW = b'''\
"""What to say."""

from hello.languages import HELLO


def greet(name: str, language: str = "en") -> str:
    """A polite greeting, also for people without a name.

    A language that nobody taught us is answered in English.
    """
    hello = HELLO.get(language, HELLO["en"])
    name = name.strip()
    if not name:
        return f"{hello}!"
    return f"{hello}, {name}!"
'''

LANGUAGES = b'''\
"""How to say hello."""

HELLO = {
    "en": "Hello",
    "de": "Hallo",
    "fr": "Bonjour",
}
'''

LEGACY = b'''\
"""The greeting of version 0, kept for one release."""

import warnings

from hello.greeting import greet


def say_hello(name=""):
    """Use greet."""
    warnings.warn("say_hello is deprecated, use greet", DeprecationWarning, stacklevel=2)
    return greet(name)
'''

TEST_GREETING = b"""\
from hello.greeting import greet


def test_greets_by_name():
    assert greet("Mona") == "Hello, Mona!"


def test_greets_people_without_a_name():
    assert greet("  ") == "Hello!"
"""

TEST_GREETING_NEW = (
    TEST_GREETING
    + b"""

def test_greets_in_german():
    assert greet("Mona", language="de") == "Hallo, Mona!"


def test_answers_unknown_languages_in_english():
    assert greet("Mona", language="tlh") == "Hello, Mona!"
"""
)

LOCK = b"""\
version = 1
revision = 3
requires-python = ">=3.12"

[[package]]
name = "babel"
version = "2.16.0"
source = { registry = "https://packages.example/simple" }
sdist = { url = "https://packages.example/babel-2.16.0.tar.gz", hash = "sha256:%s", size = 9348104 }

[[package]]
name = "hello-pullback"
version = "1.2.0"
source = { virtual = "." }
dependencies = [
    { name = "babel" },
]
""" % (b"d1f3554c" * 8)

LOCK_NEW = (
    LOCK.replace(b"2.16.0", b"2.17.0")
    .replace(b"1.2.0", b"1.3.0")
    .replace(b"d1f3554c" * 8, b"0c54cffb" * 8)
    .replace(b"9348104", b"9951852")
)
