"""What the maker of an API is told when something is declared wrongly: everything, once, and in his own terms."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient

from lightapi import (
    AllowAny,
    Authentication,
    BaseAuthentication,
    Cache,
    ConfigurationError,
    Field,
    Filtering,
    JWTAuthentication,
    LightApi,
    Middleware,
    RestEndpoint,
    Serializer,
)

ROOT = Path(__file__).parent.parent
WRONG_CLASS = """
from lightapi import Field, LightApi, RestEndpoint

class BookEndpoint(RestEndpoint):
    title: str = Field(min_lenght=1)
    price: complex

app = LightApi(database_url="sqlite://")
app.register({"/books": BookEndpoint})
"""
WRONG_AT_START = """
from lightapi import Authentication, JWTAuthentication, LightApi, RestEndpoint

class BookEndpoint(RestEndpoint):
    title: str

    class Meta:
        authentication = Authentication(backend=JWTAuthentication)

app = LightApi(database_url="sqlite://")
app.register({"/books": BookEndpoint})
"""


def test_everything_that_is_wrong_in_a_class_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:

        class Book(RestEndpoint):
            title: str = Field(min_lenght=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
            price: complex
            version: int

            def list(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
                """Take too little."""

            class Meta:
                tabel = "books"
                extra = "forbd"

    problems = caught.value.problems
    assert [problem.partition(":")[0] for problem in problems] == [
        "Book.title",
        "Book.price",
        "Book.version",
        "Book.Meta",
        "Book.Meta.extra",
        "Book.list",
    ]
    assert str(caught.value) == "6 problems:\n" + "\n".join(f"- {problem}" for problem in problems)


def test_a_single_problem_is_told_as_it_is() -> None:
    with pytest.raises(ConfigurationError) as caught:

        class Book(RestEndpoint):
            price: complex

    assert caught.value.problems == (str(caught.value),)
    assert str(caught.value).startswith("Book.price: ")


class Listed(RestEndpoint):
    """Filters by what it does not have."""

    title: str

    class Meta:
        filtering = Filtering(fields=["titel"])


class Fine(RestEndpoint):
    """Is as it should be."""

    title: str


def test_everything_that_is_wrong_in_a_mapping_is_told_at_once_and_nothing_of_it_is_registered() -> None:
    app = LightApi(database_url="sqlite://")

    with pytest.raises(ConfigurationError) as caught:
        app.register({"/fine": Fine, "/listed": Listed, "listed": Fine, "/x": int})

    assert len(caught.value.problems) == 3
    assert "did you mean 'title'?" in caught.value.problems[0]
    app.register({"/fine": Fine})
    assert [row.path for row in app.describe() if row.endpoint] == ["/fine"] * 2 + ["/fine/{id}"] * 4


class Mistaken(RestEndpoint):
    """Has six mistakes in its Meta."""

    title: str
    pages: int

    class Meta:
        filtering = Filtering(fields=["titel", "title__contians"], search=["pages"], ordering=["titl", "pages"])
        serializer = Serializer(fields=["idd", "titel"])


def test_everything_that_is_wrong_in_meta_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        LightApi(database_url="sqlite://").register({"/mistaken": Mistaken})

    assert [problem.partition(": ")[0].removeprefix("Mistaken.Meta.") for problem in caught.value.problems] == [
        "filtering.fields",
        "filtering.fields",
        "filtering.search",
        "filtering.ordering",
        "serializer",
        "serializer",
    ]


def test_a_middleware_that_would_do_nothing_is_refused() -> None:
    class Stamp(Middleware):
        def proces(self, request: Any, response: Any) -> None: ...

    with pytest.raises(ConfigurationError, match=r"Stamp has no process.*did you mean 'proces'"):
        LightApi(database_url="sqlite://", middlewares=[Stamp])
    starlettes: Any = GZipMiddleware
    with pytest.raises(ConfigurationError, match="asgi_middleware="):
        LightApi(database_url="sqlite://", middlewares=[starlettes(None)])


class NoRequest:
    """Hooks whose methods take nothing."""

    challenge: Any = "Bearer"

    def has_permission(self) -> bool:
        return True

    def process(self, request: Any) -> None:
        """Lack the response."""

    def begin(self) -> float:
        return 0

    def succeeded(self, key: str) -> None:
        """Do nothing."""

    failed = succeeded


class OfTheClass:
    """Hooks that need no instance."""

    @staticmethod
    def has_permission(request: Any) -> bool:
        return True

    @classmethod
    def begin(cls, key: str) -> float:
        return 0

    @staticmethod
    def succeeded(key: str) -> None:
        """Do nothing."""

    failed = succeeded


def test_hooks_may_be_static() -> None:
    _app(rate_limiter=OfTheClass)
    _served(Authentication(permission=OfTheClass))
    _served(Authentication(permission=AllowAny & OfTheClass))


class Demanding:
    """A limiter that can't be made without arguments."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def begin(self, key: str) -> float:
        return 0

    def succeeded(self, key: str) -> None:
        """Do nothing."""

    failed = succeeded


class Odd(BaseAuthentication):
    """A backend whose challenge no header can hold."""

    challenge = "Key\nX: y"

    def authenticate(self, request: Any) -> bool:
        return True


def _app(**options: Any) -> LightApi:
    return LightApi(database_url="sqlite://", **options)


def _cache(**options: Any) -> Cache:
    return Cache(ttl=1, **options)


def _jwt(**options: Any) -> Authentication:
    return Authentication(JWTAuthentication(**options))


def _served(authentication: Authentication) -> None:
    meta = type("Meta", (), {"authentication": authentication})
    app = LightApi(database_url="sqlite://")
    app.register({"/things": type("Thing", (RestEndpoint,), {"Meta": meta})})
    app.build_app()


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (
            lambda: _app(middlewares=[NoRequest]),
            r"NoRequest: .*process\(request, response\)",
        ),
        (lambda: AllowAny & NoRequest, r"NoRequest.* has_permission\(request\)"),
        (lambda: ~AllowAny | NoRequest(), r"NoRequest.* has_permission\(request\)"),
        (lambda: _app(rate_limiter=NoRequest), r"rate_limiter=.* begin\(key\)"),
        (lambda: _app(rate_limiter=Demanding), r"rate_limiter: Demanding .*arguments"),
        (lambda: _served(_jwt(algorithms=5)), r"algorithms=5 given"),
        (lambda: _served(_jwt(require_exp="no")), r"require_exp='no' given"),
        (lambda: _served(_jwt(lifetime=10**12)), r"lifetime=10+ given"),
        (lambda: _served(_jwt(leeway=10**400)), r"leeway=10+ given"),
        (lambda: _served(Authentication(Odd)), r"Thing.Meta.authentication: Odd.challenge='Key"),
        (lambda: _cache(vary_on=5), r"vary_on=...\): 5 given"),
        (lambda: _cache(vary_headers=["*"]), r"vary_headers=...\): '\*' given"),
        (lambda: Cache(ttl=10**12), r"1000000000000 given; allowed: seconds, more than 0, at most \d+"),
    ],
)
def test_hooks_that_could_not_be_called_and_values_without_a_use_are_refused(
    declare: Callable[[], Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "a made-up secret of more than 32 bytes")
    with pytest.raises(ConfigurationError, match=said):
        declare()


def test_a_url_in_the_place_of_the_engine_is_named() -> None:
    engine: Any = "sqlite://"

    with pytest.raises(ConfigurationError, match="a URL is database_url="):
        LightApi(engine)


def test_a_mended_class_can_be_registered_after_a_failure() -> None:
    fine = type("Good", (RestEndpoint,), {"__annotations__": {"title": str}})
    wrong = type("Wrong", (RestEndpoint,), {"Meta": type("Meta", (), {"filtering": Filtering(search=["nothing"])})})
    mended = type("Wrong", (RestEndpoint,), {"__annotations__": {"title": str}})
    app = LightApi(database_url="sqlite://")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="nothing"):
            app.register({"/good": fine, "/wrong": wrong})
        assert not app.metadata.tables

    app.register({"/good": fine, "/wrong": mended})

    assert set(app.metadata.tables) == {"goods", "wrongs"}
    client = TestClient(app.build_app())
    assert [client.post(path, json={"title": "t"}).status_code for path in ("/good", "/wrong")] == [201, 201]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///none.db", "sqlite+aiosqlite://"])
def test_everything_that_is_wrong_at_start_is_told_at_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIGHTAPI_JWT_SECRET", raising=False)

    class First(RestEndpoint):
        class Meta:
            authentication = Authentication(backend=JWTAuthentication)

    class Second(First):
        pass

    class Third(RestEndpoint):
        other: int = Field(foreign_key="nowhere.id")

    app = LightApi(database_url=url)
    app.register({"/first": First, "/second": Second, "/third": Third})

    with pytest.raises(ConfigurationError) as caught:
        app.build_app()

    problems = caught.value.problems
    assert [problem.partition(".")[0] for problem in problems] == ["First", "Second", "Third"]
    assert "there is no table 'nowhere'" in problems[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "start"),
    [
        (
            WRONG_CLASS,
            "line 4\n    class BookEndpoint(RestEndpoint):\nConfigurationError: 2 problems:\n- BookEndpoint.t",
        ),
        (WRONG_AT_START, "ERROR:    ConfigurationError: BookEndpoint.Meta.authentication: "),
    ],
    ids=["class", "start"],
)
def test_a_server_that_loads_a_wrong_project_ends_with_the_message(source: str, start: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(source)

    ended = subprocess.run(
        [sys.executable, "-m", "uvicorn", "main:app", "--port", "0"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode != 0
    assert start in ended.stderr
    assert "Traceback" not in ended.stderr
    assert str(ROOT / "lightapi") not in ended.stderr
    assert ended.stderr.count("BookEndpoint.title" if source is WRONG_CLASS else "BookEndpoint.Meta") == 1


def test_other_errors_that_end_a_program_are_left_to_python(tmp_path: Path) -> None:
    program = """
try:
    import lightapi
    lightapi.LightApi(database_url=5)
except lightapi.ConfigurationError:
    pass
1 / 0
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback")
    assert "ZeroDivisionError" in ended.stderr
