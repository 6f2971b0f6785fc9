"""Who is calling: backends that name the user of a request."""

from __future__ import annotations

import base64
import binascii
import inspect
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar

from starlette.requests import Request

from lightapi.config import Authentication, explained
from lightapi.db.errors import hide_parameters
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.http.drive import Decision, drive, has_running_loop, is_async
from lightapi.permissions import AllowAny, BasePermission, IsAdminUser, IsAuthenticated
from lightapi.threads import in_thread
from lightapi.tokens import TokenRules, Tokens

__all__ = [
    "AllowAny",
    "BaseAuthentication",
    "BasePermission",
    "BasicAuthentication",
    "IsAdminUser",
    "IsAuthenticated",
    "JWTAuthentication",
    "Validator",
    "basic_credentials",
    "check_validator",
    "validated",
]

logger = logging.getLogger("lightapi")

Validator = Callable[[str, str], Any]
"""``validator(username, password)`` returns the user's payload, a mapping, or None; it may be ``async def``."""


class BaseAuthentication:
    """Override ``authenticate`` to name the user of a request; it may be ``async def``."""

    challenge: ClassVar[str] = "Bearer"
    """The ``WWW-Authenticate`` header of a 401 (RFC 9110 section 11.6.1)."""

    def authenticate(self, request: Request) -> Any:
        """Return True and set ``request.state.user``, or return False for a 401."""
        return False

    def prepared(self, authentication: Authentication, validator: Validator | None) -> BaseAuthentication:
        """Return the backend as it serves one endpoint, when the app is built.

        ``validator`` is the app's ``login_validator``. Raises ConfigurationError for what is missing.
        """
        return self


@explained
class JWTAuthentication(BaseAuthentication):
    """Name the user by a JSON Web Token in ``Authorization: Bearer`` (RFC 7519, RFC 6750 section 2.1).

    ``request.state.user`` is the token's payload. Give the options as arguments, or as attributes of a subclass:

    - ``secret``: for HS256, HS384, HS512; default: the environment's ``LIGHTAPI_JWT_SECRET``.
    - ``algorithms``: those accepted, the first one is issued; default: ``["HS256"]``.
    - ``public_key`` (PEM or a key object) or ``jwks_url``: for RS*, PS*, ES*, EdDSA (extra ``crypto``).
    - ``private_key``: to issue such tokens in the login routes.
    - ``audience``, ``issuer``: a string, or a list of which one must match; put into issued tokens, too.
    - ``leeway``: seconds by which clocks may differ; default 0.
    - ``require_exp``: default: ``LIGHTAPI_JWT_REQUIRE_EXP``, else True.
    - ``lifetime``, ``extra_claims``: of issued tokens; default: ``Authentication``'s ``jwt_expiration`` and
      ``jwt_extra_claims``.
    """

    secret: str | bytes | None = None
    algorithms: Sequence[str] | None = None
    public_key: Any = None
    private_key: Any = None
    jwks_url: str | None = None
    audience: str | Sequence[str] | None = None
    issuer: str | Sequence[str] | None = None
    leeway: float = 0
    require_exp: bool | None = None
    lifetime: int | None = None
    extra_claims: Sequence[str] | None = None

    _tokens: Tokens | None = None

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Refuse an attribute that is nearly an option: it would have no effect."""
        super().__init_subclass__(**arguments)
        options = [name for name in vars(JWTAuthentication)["__annotations__"] if not name.startswith("_")]
        for name, value in vars(cls).items():
            hint = "" if name in options or name.startswith("_") or callable(value) else nearest(name, options)
            if hint and not hasattr(BaseAuthentication, name):
                raise ConfigurationError(f"{cls.__name__}.{name}: is no option of JWTAuthentication{hint}")

    def __init__(
        self,
        secret: str | bytes | None = None,
        *,
        algorithms: Sequence[str] | None = None,
        public_key: Any = None,
        private_key: Any = None,
        jwks_url: str | None = None,
        audience: str | Sequence[str] | None = None,
        issuer: str | Sequence[str] | None = None,
        leeway: float | None = None,
        require_exp: bool | None = None,
        lifetime: int | None = None,
        extra_claims: Sequence[str] | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)

    def authenticate(self, request: Request) -> Any:
        """Return True when the token holds; an awaitable of that where keys must be fetched on an event loop."""
        token = _bearer_token(request)
        if token is None:
            return False
        if has_running_loop() and self.tokens.fetches_for(token):
            return Decision(in_thread("keys", self._accept, request, token))
        return self._accept(request, token)

    def _accept(self, request: Request, token: str) -> bool:
        claims = self.tokens.verify(token)
        if claims is None:
            return False
        request.state.user = claims
        return True

    @property
    def tokens(self) -> Tokens:
        """What verifies and issues this backend's tokens."""
        if self._tokens is None:
            self._tokens = self._made(Authentication())
        return self._tokens

    def prepared(self, authentication: Authentication, validator: Validator | None) -> BaseAuthentication:
        """Return a copy with its keys read and tried."""
        twin = copy(self)
        twin._tokens = self._made(authentication)
        return twin

    def _made(self, authentication: Authentication) -> Tokens:
        algorithms = self.algorithms if self.algorithms is not None else ["HS256"]
        if authentication.jwt_algorithm is not None:
            algorithms = [authentication.jwt_algorithm]
        return Tokens(
            type(self).__name__,
            TokenRules(
                secret=self.secret,
                algorithms=algorithms,
                public_key=self.public_key,
                private_key=self.private_key,
                jwks_url=self.jwks_url,
                audience=self.audience,
                issuer=self.issuer,
                leeway=self.leeway,
                require_exp=self.require_exp,
                lifetime=authentication.jwt_expiration if self.lifetime is None else self.lifetime,
                claims=authentication.jwt_extra_claims if self.extra_claims is None else self.extra_claims,
            ),
        )


@explained
class BasicAuthentication(BaseAuthentication):
    """Name the user by name and password in ``Authorization: Basic`` (RFC 7617), asked of a validator.

    ``validator`` defaults to the app's ``login_validator``; without one every request is refused.
    """

    challenge = 'Basic realm="api"'

    validator: Validator | None = None

    def __init__(self, validator: Validator | None = None) -> None:
        check_validator("BasicAuthentication(validator=...)", validator)
        if validator is not None:
            self.validator = validator

    def authenticate(self, request: Request) -> Any:
        """Return the validator's decision, False without credentials; an awaitable of it on an event loop."""
        credentials = basic_credentials(request)
        if credentials is None or self.validator is None:
            return False
        decision = self._ask(request, self.validator, *credentials)
        return Decision(decision) if has_running_loop() or is_async(self.validator) else drive(decision)

    async def _ask(self, request: Request, validator: Validator, username: str, password: str) -> bool:
        user = await validated(validator, username, password)
        if user is None:
            return False
        request.state.user = user
        return True

    def prepared(self, authentication: Authentication, validator: Validator | None) -> BaseAuthentication:
        """Return a copy that asks the app's validator, unless it has one of its own."""
        twin = copy(self)
        if twin.validator is None:
            twin.validator = validator
        return twin


def check_validator(where: str, validator: Any) -> None:
    """Raise ConfigurationError for what can't be called with a user name and a password; None is none."""
    if validator is None:
        return
    try:
        inspect.signature(validator).bind("", "")
    except TypeError as error:
        raise ConfigurationError(
            f"{where}: {validator!r} given; allowed: a function of (username, password): {error}"
        ) from None
    except ValueError:
        pass  # it has no signature to look at


async def validated(validator: Validator, username: str, password: str) -> Mapping[str, Any] | None:
    """Return the payload of a user, None for wrong credentials; a sync validator never runs on an event loop.

    A validator that raises, or returns neither a mapping nor None, refuses; that is logged.
    """
    try:
        if not is_async(validator) and has_running_loop():
            result = await in_thread("login", validator, username, password)
        else:
            result = validator(username, password)
        user = await result if inspect.isawaitable(result) else result
    except Exception as error:
        hide_parameters(error)
        logger.exception("the login_validator failed: the credentials are refused")
        return None
    if user is None or isinstance(user, Mapping):
        return user
    logger.error("the login_validator returned %s; allowed: a dict or None", type(user).__name__)
    return None


_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 9110 section 11.2."""


def credentials_of(request: Request, scheme: str) -> str | None:
    """Return what follows the scheme in the request's only ``Authorization`` header (RFC 9110 section 11.6.2)."""
    given = request.headers.getlist("authorization")
    if len(given) != 1:
        return None
    name, _, rest = given[0].strip(" \t").partition(" ")
    rest = rest.strip(" ")
    return rest if name.lower() == scheme and _TOKEN68.fullmatch(rest) else None


def _bearer_token(request: Request) -> str | None:
    return credentials_of(request, "bearer")


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """Return user name and password of ``Authorization: Basic``, UTF-8 (RFC 7617 section 2); None for none."""
    encoded = credentials_of(request, "basic")
    if encoded is None:
        return None
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (username, password) if colon and "\x00" not in username + password else None
