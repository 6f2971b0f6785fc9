"""The package works with its core dependencies alone."""

from __future__ import annotations

import subprocess
import sys

OPTIONAL = ["aiosqlite", "alembic", "asyncpg", "cryptography", "gevent", "greenlet", "gunicorn", "httptools", "msgspec"]
OPTIONAL += ["orjson", "psycopg", "psycopg2", "uvloop"]
APPLICATION = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from lightapi import Field, LightApi, RestEndpoint
class BookEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
app = LightApi(database_url="sqlite://")
app.register({{"/books": BookEndpoint}})
app.build_app(), app.build_wsgi_app()
"""


def test_an_app_is_built_without_any_optional_package() -> None:
    code = APPLICATION.format(blocked=OPTIONAL)

    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
