"""Requests made from the document: what it promises is answered, what it refuses is refused, and nothing is a 5xx."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from lightapi import LightApi
from tests.support.rich import MAPPING, USER, login

pytestmark = pytest.mark.slow
EXAMPLES = 200 if os.environ.get("LIGHTAPI_TEST_LONG") else 5
"""Of each operation, beside those that are made from the bounds of its schema."""
SECRET = "x" * 40
HEADERS = {"Authorization": f"Bearer {jwt.encode({**USER, 'exp': 2**31}, SECRET)}"}


def _app(database_url: str) -> LightApi:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTAPI_JWT_SECRET", SECRET)
        app = LightApi(database_url=database_url, login_validator=login, rate_limiter=False)
        app.register(MAPPING)
        app.build_app()
    return app


def _cursor(app: LightApi) -> str:
    """Return a cursor of the list of events; it is one in every database."""
    with TestClient(app) as client:
        for number in range(5):
            assert client.post("/v1/events", json={"text": str(number)}, headers=HEADERS).status_code == 201
        cursor: str = client.get("/v1/events", headers=HEADERS).json()["next"]
    return cursor


class Asked:
    """The app that requests go to: its operations are known before there is a database."""

    app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        await self.app(scope, receive, send)


asked = Asked()
asked.app = _app("sqlite://")
schemathesis.openapi.format("cursor", st.just(_cursor(asked.app)))
schema = schemathesis.openapi.from_asgi("/openapi.json", asked)


@pytest.fixture(scope="module", autouse=True)
def on_postgresql(postgres_url: str) -> Iterator[None]:
    app = _app(postgres_url)
    asked.app = app
    yield
    app.metadata.drop_all(app.engine)
    app.engine.dispose()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much)
)
def test_every_answer_is_as_the_document_says(case: schemathesis.Case[Any]) -> None:
    body: Any = case.body
    version = body.get("version") if isinstance(body, dict) else None
    if isinstance(version, float) and version.is_integer():
        body["version"] = int(version)  # JSON Schema can't say that 1.0 is no integer; as a version it is none

    case.call_and_validate(headers=HEADERS)
