"""Ways in that were tried: overrides that take a promise for a yes, slips in declarations, disguised names."""

from __future__ import annotations

import time
from abc import ABC
from typing import Any

import jwt
import pytest
from starlette.requests import Request

from lightapi import (
    AllowAny,
    Authentication,
    BasePermission,
    BasicAuthentication,
    Cache,
    ConfigurationError,
    IsAdminUser,
    IsAuthenticated,
    JWTAuthentication,
    LightApi,
    RestEndpoint,
)
from lightapi.limits import _MOST, FailureLimiter, key_of
from tests.support.hosts import Api

SECRET = "a made-up secret of more than 32 bytes"
ONE_HOST = [pytest.mark.hosts("asgi"), pytest.mark.engines("sqlite-sync")]


class HouseBasic(BasicAuthentication):
    """Asks its base without waiting for what it says."""

    def authenticate(self, request: Request) -> bool:
        if not super().authenticate(request):
            return False
        request.state.checked = True
        return True


class OfficeHours(BasePermission):
    """Does not look at the user."""

    def has_permission(self, request: Request) -> bool:
        return True


class Hasty(RestEndpoint):
    """Protected by the hasty backend alone."""

    name: str = ""

    class Meta:
        authentication = Authentication(backend=HouseBasic, permission=OfficeHours)


@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_an_override_that_does_not_wait_lets_nobody_in(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    client = api({"/hasty": Hasty}, login_validator=lambda _name, _password: None)

    assert client.get("/hasty", auth=("x", "y")).status_code in {401, 500}
    assert client.get("/hasty").status_code == 401


@pytest.mark.engines("sqlite-sync")
def test_the_same_override_works_where_nothing_is_to_be_waited_for(api: Api) -> None:
    client = api({"/hasty": Hasty}, login_validator=lambda name, _password: {"sub": name} if name == "ann" else None)

    assert [client.get("/hasty", auth=(name, "pw")).status_code for name in ("ann", "bob")] == [200, 401]


def _anonymous() -> Request:
    request = Request({"type": "http", "state": {}, "headers": []})
    request.state.user = None
    return request


class Waits(BasePermission):
    """Decides later."""

    async def has_permission(self, request: Request) -> bool:
        return False


def test_a_combined_permission_is_a_bool_unless_a_part_waits() -> None:
    assert (IsAdminUser & IsAuthenticated).has_permission(_anonymous()) is False
    assert (~IsAuthenticated | IsAdminUser).has_permission(_anonymous()) is True
    with pytest.raises(TypeError, match="await it"):
        bool((IsAuthenticated | Waits).has_permission(_anonymous()))


async def test_a_combined_permission_can_be_awaited_where_a_part_waits() -> None:
    assert await (IsAuthenticated | Waits).has_permission(_anonymous()) is False


def test_permissions_are_not_combined_with_and_and_or() -> None:
    slips: list[Any] = [IsAdminUser, IsAdminUser(), IsAdminUser & IsAuthenticated]
    for permission in slips:
        with pytest.raises(TypeError, match="combine permissions with &"):
            Authentication(permission=permission and AllowAny)


def test_permissions_may_be_abstract() -> None:
    class Abstract(BasePermission, ABC):
        """Has a metaclass of its own."""

        def has_permission(self, request: Request) -> bool:
            return True

    assert (Abstract & AllowAny).has_permission(_anonymous()) is True


class Noted(RestEndpoint):
    """Wants a token."""

    name: str = ""

    class Meta:
        authentication = Authentication(backend=JWTAuthentication)


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
def test_extensions_of_tokens_that_nobody_knows_are_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)
    client = api({"/notes": Noted})
    claims = {"sub": "1", "exp": time.time() + 60}
    critical = jwt.encode(claims, SECRET, "HS256", headers={"crit": ["b64"], "b64": True})

    assert client.get("/notes", headers={"Authorization": f"Bearer {critical}"}).status_code == 401


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
def test_a_broken_basic_header_is_challenged_by_the_backend_in_use(api: Api) -> None:
    client = api({"/hasty": Hasty}, login_validator=lambda _name, _password: None)

    answer = client.post("/auth/login", headers={"Authorization": "Basic ???"})

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="api"')


MISPLACED: dict[str, dict[str, Any]] = {
    "authentication": {"authentication": Authentication(backend=JWTAuthentication)},
    "cache": {"cache": Cache(ttl=1)},
    "meta": {"meta": type("meta", (), {})},
}


@pytest.mark.parametrize("name", MISPLACED)
def test_what_was_meant_for_meta_is_not_ignored(name: str) -> None:
    with pytest.raises(ConfigurationError, match="has no effect"):
        type("Misplaced", (RestEndpoint,), MISPLACED[name])


one_argument: Any = len
no_function: Any = "x"

WRONG: dict[str, tuple[Any, str]] = {
    "claims in one string": (lambda: JWTAuthentication(SECRET, extra_claims="is_admin").tokens, "extra_claims"),
    "a validator of one argument": (
        lambda: LightApi(database_url="sqlite://", login_validator=one_argument),
        "login_validator",
    ),
    "a validator that is text": (lambda: BasicAuthentication(no_function), "validator"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_slip_is_a_configuration_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_DATABASE_URL", "sqlite://")
    make, said = WRONG[name]

    with pytest.raises(ConfigurationError, match=said):
        make()


def _from(address: str) -> Request:
    return Request({"type": "http", "client": (address, 1), "headers": []})


@pytest.mark.parametrize("disguise", ["BOB", "bob ", "b\u2060ob", "bob\u200b", "bob\u00ad", "bob\x00", "\uff42ob"])
def test_a_disguised_name_counts_as_the_name(disguise: str) -> None:
    assert key_of(_from("10.0.0.1"), disguise) == key_of(_from("10.0.0.1"), "bob")


def test_addresses_of_ipv4_are_told_apart_in_ipv6_too() -> None:
    mapped = [key_of(_from(f"::ffff:198.51.100.{last}"), "bob") for last in (1, 2)]

    assert mapped == [key_of(_from(f"198.51.100.{last}"), "bob") for last in (1, 2)]
    assert mapped[0] != mapped[1]
    assert key_of(_from("2001:db8::1"), "bob") == key_of(_from("2001:db8::2"), "bob")


async def test_a_lock_is_not_washed_away_by_other_names() -> None:
    limiter = FailureLimiter(1)
    await limiter.begin("victim")
    await limiter.failed("victim")

    for number in range(_MOST + 10):
        await limiter.begin(str(number))
        await limiter.succeeded(str(number))

    assert await limiter.begin("victim") > 0
