"""Keys that an issuer publishes: fetched once, found when they rotate, kept while the issuer is down."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, get_default_algorithms

from lightapi import Authentication, Field, JWTAuthentication, RestEndpoint, keysets
from tests.support.hosts import Api, Client
from tests.support.processes import eventually

pytestmark = pytest.mark.engines("sqlite-sync")
ONE_HOST = pytest.mark.hosts("asgi")

LATER = int(time.time()) + 86_400


@cache
def _key(name: str) -> Any:
    return ec.generate_private_key(ec.SECP256R1())


def _published(name: str, **changes: Any) -> dict[str, Any]:
    public = ECAlgorithm.to_jwk(_key(name).public_key(), as_dict=True)
    return public | {"kid": name, "use": "sig", "alg": "ES256"} | changes


def _token(name: str, **header: Any) -> str:
    return jwt.encode({"sub": name, "exp": LATER}, _key(name), algorithm="ES256", headers={"kid": name} | header)


class Issuer:
    """A key set behind HTTP: counts who asks, fails or waits when told to."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [_published("first")]
        self.body: bytes | None = None
        self.drips: threading.Event | None = None
        self.status = 200
        self.fetches = 0
        self.asked = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            """Answers every path with the key set."""

            def do_GET(self) -> None:
                issuer.fetches += 1
                issuer.asked.set()
                issuer.go_on.wait(30)
                if issuer.drips is not None:
                    self.send_response(200)
                    self.end_headers()
                    self._drip(issuer.drips)
                    return
                body = issuer.body or json.dumps({"keys": issuer.keys}).encode()
                self.send_response(issuer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _drip(self, ended: threading.Event) -> None:
                with contextlib.suppress(OSError):  # whoever asked has gone
                    for _ in range(600):
                        self.wfile.write(b" ")
                        time.sleep(0.05)
                ended.set()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as the base class has it
                """Write nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys.json"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def publish(self, *names: str) -> None:
        """Change the key set."""
        self.keys = [_published(name) for name in names]


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    monkeypatch.setenv("no_proxy", "*")
    issuer = Issuer()
    yield issuer
    issuer.go_on.set()
    issuer.server.shutdown()
    issuer.server.server_close()


@pytest.fixture
def client(api: Api, issuer: Issuer) -> Client:
    class Secret(RestEndpoint):
        """Known users only."""

        title: str = Field(min_length=1)

        class Meta:
            authentication = Authentication(backend=JWTAuthentication(algorithms=["ES256"], jwks_url=issuer.url))

    return api({"/secrets": Secret})


def _status(client: Client, token: str) -> int:
    return client.get("/secrets", headers={"Authorization": f"Bearer {token}"}).status_code


def test_nothing_is_fetched_before_a_token_needs_it(client: Client, issuer: Issuer) -> None:
    assert client.get("/secrets").status_code == 401
    assert _status(client, "a.b.c") == 401
    assert issuer.fetches == 0


def test_the_keys_are_fetched_once(client: Client, issuer: Issuer) -> None:
    assert [_status(client, _token("first")) for _ in range(10)] == [200] * 10
    assert issuer.fetches == 1


def test_callers_at_the_same_time_wait_for_one_fetch(client: Client, issuer: Issuer) -> None:
    token = _token("first")

    assert client.together([lambda: _status(client, token)] * 6) == [200] * 6
    assert issuer.fetches == 1


def test_a_key_that_is_new_is_found_at_once(client: Client, issuer: Issuer) -> None:
    assert _status(client, _token("first")) == 200

    issuer.publish("first", "second")

    assert [_status(client, _token(name)) for name in ("second", "first", "second")] == [200] * 3
    assert issuer.fetches == 2


@ONE_HOST
def test_a_key_that_is_withdrawn_goes_with_the_next_fetch(client: Client, issuer: Issuer) -> None:
    assert _status(client, _token("first")) == 200

    issuer.publish("second")

    assert _status(client, _token("second")) == 200
    assert _status(client, _token("first")) == 401


def test_forged_key_ids_do_not_make_it_fetch_every_time(client: Client, issuer: Issuer) -> None:
    assert _status(client, _token("first")) == 200

    forged = [_token("stranger", kid=f"forged {number}") for number in range(20)]

    assert [_status(client, token) for token in forged] == [401] * 20
    assert issuer.fetches <= 3
    assert _status(client, _token("first")) == 200


@ONE_HOST
@pytest.mark.parametrize(
    "token",
    [
        pytest.param(lambda: _token("stranger", kid="first"), id="key of a stranger"),
        pytest.param(lambda: _token("first") + "A", id="signature changed"),
        pytest.param(lambda: jwt.encode({"sub": "1"}, "s" * 32, headers={"kid": "first"}), id="other algorithm"),
        pytest.param(lambda: jwt.encode({"sub": "1", "exp": LATER}, "", algorithm="none"), id="alg none"),
        pytest.param(
            lambda: jwt.encode({"sub": "1", "exp": 1}, _key("first"), "ES256", {"kid": "first"}), id="expired"
        ),
        pytest.param(
            lambda: jwt.encode(
                {"sub": "1", "exp": LATER},
                _key("stranger"),
                "ES256",
                {"jwk": _published("stranger"), "jku": "http://127.0.0.1/", "kid": "stranger"},
            ),
            id="brings its own key",
        ),
    ],
)
def test_a_forged_token_is_refused(client: Client, issuer: Issuer, token: Any) -> None:
    assert _status(client, _token("first")) == 200
    assert _status(client, token()) == 401


@ONE_HOST
def test_a_token_without_key_id_is_for_the_only_key(client: Client, issuer: Issuer) -> None:
    token = jwt.encode({"sub": "1", "exp": LATER}, _key("first"), algorithm="ES256")

    assert _status(client, token) == 200
    issuer.publish("first", "second")
    assert _status(client, _token("second")) == 200
    assert _status(client, token) == 401


@ONE_HOST
@pytest.mark.parametrize(
    "other",
    [
        pytest.param(_published("other", use="enc"), id="for encryption"),
        pytest.param({"kty": "XX", "kid": "other"}, id="of an unknown kind"),
        pytest.param({"kty": "oct", "kid": "other", "k": "c2VjcmV0"}, id="secret"),
    ],
)
def test_other_keys_of_the_set_are_left_alone(client: Client, issuer: Issuer, other: dict[str, Any]) -> None:
    issuer.keys = [_published("first"), other]

    assert _status(client, _token("first")) == 200
    assert _status(client, _token("other")) == 401


@ONE_HOST
@pytest.mark.parametrize("other", [{"alg": "none"}, {"alg": ["x"]}, {"kid": [1]}, {"kid": {}}, {"kty": 1}, {"x": 7}])
def test_junk_beside_a_key_is_left_alone(client: Client, issuer: Issuer, other: dict[str, Any]) -> None:
    issuer.keys = [_published("first"), _published("other", **other)]

    assert [_status(client, _token("first")) for _ in range(3)] == [200] * 3
    assert _status(client, _token("other")) == 401
    assert issuer.fetches <= 2


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "ES384"])
def test_a_key_that_names_no_algorithm_is_for_all_of_its_kind(api: Api, issuer: Issuer, algorithm: str) -> None:
    private = _private(algorithm)
    public = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
    issuer.keys = [{**public, "kid": "first"}, {**_published("first"), "kid": "first"}]

    class Secret(RestEndpoint):
        class Meta:
            authentication = Authentication(backend=JWTAuthentication(algorithms=[algorithm], jwks_url=issuer.url))

    client = api({"/secrets": Secret})
    headers = {"kid": "first"}
    assert _status(client, jwt.encode({"exp": LATER}, private, algorithm=algorithm, headers=headers)) == 200
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert _status(client, jwt.encode({"exp": LATER}, stranger, algorithm="ES256", headers=headers)) == 401


def _private(algorithm: str) -> Any:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "ES384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, 2048)


@ONE_HOST
def test_an_issuer_that_never_finishes_is_a_503_meanwhile(
    client: Client, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keysets, "_TIMEOUT", 0.5)
    issuer.drips = threading.Event()

    assert _status(client, _token("first")) == 503
    assert not issuer.drips.is_set()


@ONE_HOST
def test_an_issuer_that_sends_too_much_is_a_503(client: Client, issuer: Issuer) -> None:
    issuer.body = json.dumps({"keys": issuer.keys}).encode() + b" " * 2**20

    assert _status(client, _token("first")) == 503


def test_an_issuer_that_is_down_before_any_keys_is_a_503(client: Client, issuer: Issuer) -> None:
    issuer.status = 500

    response = client.get("/secrets", headers={"Authorization": f"Bearer {_token('first')}"})

    assert (response.status_code, response.json()) == (503, {"detail": "service unavailable"})
    assert int(response.headers["retry-after"]) >= 1


@ONE_HOST
def test_it_answers_once_the_issuer_is_up(client: Client, issuer: Issuer) -> None:
    issuer.status = 500
    assert [_status(client, _token("first")) for _ in range(5)] == [503] * 5
    assert issuer.fetches <= 3

    issuer.status = 200

    eventually(lambda: _status(client, _token("first")) == 200, patience=30)


@ONE_HOST
@pytest.mark.parametrize("body", [b"oops", b"[]", b"{}", b'{"keys": []}', b'{"keys": 1}', b"\xff", b'{"keys": [1]}'])
def test_junk_instead_of_keys_is_a_503(client: Client, issuer: Issuer, body: bytes) -> None:
    issuer.body = body

    assert _status(client, _token("first")) == 503


@pytest.mark.parametrize("body", [b"oops", b'{"keys": []}', None], ids=["junk", "no key", "status 500"])
def test_the_old_keys_go_on_while_the_issuer_is_down(
    client: Client, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, body: bytes | None
) -> None:
    assert _status(client, _token("first")) == 200

    # a key set is old at once, and every request may ask
    monkeypatch.setattr(keysets, "_FRESH", 0.0)
    monkeypatch.setattr(keysets, "_PAUSE", 0.0)
    issuer.status, issuer.body = (500 if body is None else 200), body

    assert [_status(client, _token("first")) for _ in range(3)] == [200] * 3
    assert issuer.fetches >= 2
    assert _status(client, _token("second")) == 401


@ONE_HOST
def test_a_key_set_that_is_old_is_fetched_anew(client: Client, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _status(client, _token("first")) == 200

    monkeypatch.setattr(keysets, "_FRESH", 0.0)
    issuer.publish("second")

    assert _status(client, _token("first")) == 401
    assert _status(client, _token("second")) == 200


@ONE_HOST
def test_a_slow_issuer_does_not_block_the_event_loop(client: Client, issuer: Issuer) -> None:
    issuer.go_on.clear()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_status, client, _token("first"))
        assert issuer.asked.wait(30)
        health = client.get("/healthz").status_code
        was_waiting = not waiting.done()
        issuer.go_on.set()

    assert (health, was_waiting, waiting.result()) == (200, True, 200)
