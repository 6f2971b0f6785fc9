"""What a class may give in ``Meta``: each is checked when it is made."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

from lightapi.exceptions import ConfigurationError, nearest
from lightapi.problems import told

__all__ = [
    "ALGORITHMS",
    "VERBS",
    "Authentication",
    "Cache",
    "Filtering",
    "Pagination",
    "Serializer",
    "backends_in",
    "explained",
    "names_in",
    "one_of",
    "overridden",
]

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


Options = TypeVar("Options", bound=type)


def explained(cls: Options) -> Options:
    """Make an unknown argument of a class a ConfigurationError that names the known ones."""
    create: Any = vars(cls)["__init__"]
    known = [name for name in inspect.signature(create).parameters if name != "self"]

    @functools.wraps(create)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in kwargs:
            if name not in known:
                hint = nearest(name, known)
                raise ConfigurationError(f"{cls.__name__}: unknown option {name!r}; allowed: {', '.join(known)}{hint}")
        create(self, *args, **kwargs)
        if hasattr(cls, "_said"):
            object.__setattr__(self, "_said", frozenset((*known[: len(args)], *kwargs)))

    setattr(cls, "__init__", told(init))  # noqa: B010  a type checker takes it for an instance's
    return cls


ALGORITHMS = (
    *("HS256", "HS384", "HS512"),
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"),
)
"""The ``alg`` values of tokens (RFC 7518 section 3.1, RFC 8037 section 3.1)."""


@explained
@dataclass(frozen=True)
class Authentication:
    """Say who may call an endpoint: a backend that names the user, a permission that decides."""

    backend: Any = None
    """An authentication class or instance with ``authenticate(request) -> bool``, or a list of them, tried in
    order; None: anonymous."""

    permission: Any = None
    """A permission class or instance, or a dict of them per verb (a verb left out is denied).

    Default: ``IsAuthenticated`` when there is a backend, else ``AllowAny``.
    """

    jwt_expiration: int = 3600
    """Seconds that a token of the login routes is valid."""

    jwt_extra_claims: Sequence[str] | None = None
    """The claims of the validator's payload that such a token carries beside ``sub``; None or []: all."""

    jwt_algorithm: str | None = None
    """The algorithm of tokens, accepted and issued; default: the backend's, else ``HS256``."""

    _said: ClassVar[frozenset[str]] = frozenset()
    """The options that were given, be it with their defaults."""

    def __post_init__(self) -> None:
        if isinstance(self.backend, (list, tuple)) and not self.backend:
            raise ConfigurationError("Authentication(backend=[]): no backend given; allowed: at least one, or None")
        for backend in backends_in(self.backend):
            _require_method(backend, "authenticate", "Authentication(backend=...)")
        if isinstance(self.permission, Mapping):
            for verb, permission in self.permission.items():
                if verb not in VERBS:
                    raise ConfigurationError(
                        f"Authentication(permission=...): {verb!r} is no verb; allowed: "
                        f"{', '.join(VERBS)}{nearest(str(verb).upper(), VERBS)}"
                    )
                _require_method(permission, "has_permission", f"Authentication(permission[{verb}])")
        elif self.permission is not None:
            _require_method(self.permission, "has_permission", "Authentication(permission=...)")
        if type(self.jwt_expiration) is not int or self.jwt_expiration < 1:
            raise ConfigurationError(
                f"Authentication(jwt_expiration=...): {self.jwt_expiration!r} given; allowed: seconds, 1 or more"
            )
        names_in("Authentication(jwt_extra_claims=...)", self.jwt_extra_claims or None, "claim names")
        if self.jwt_algorithm is not None:
            one_of("Authentication(jwt_algorithm=...)", self.jwt_algorithm, ALGORITHMS)


def overridden(authentication: Authentication, own: Authentication) -> Authentication:
    """Return an app's authentication for an endpoint, or an endpoint's for a verb: ``own`` counts where it speaks."""
    said = {name: getattr(own, name) for name in own._said}
    return replace(authentication, **said) if said else authentication


def backends_in(given: Any) -> tuple[Any, ...]:
    """Return the backends of an Authentication in the order in which they are tried."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)


def _require_method(value: Any, name: str, where: str, arguments: str = "request") -> None:
    method = getattr(value, name, None)
    if not callable(method):
        hint = ""
        if isinstance(value, str):
            hint = "; give the class, not its name"
        elif isinstance(value, (list, tuple)):
            hint = "; combine permissions with & and |"
        raise ConfigurationError(f"{where}: {value!r} has no method {name}({arguments}){hint}")
    if getattr(method, "__qualname__", "") in ("BasePermission.has_permission", "BaseAuthentication.authenticate"):
        raise ConfigurationError(f"{where}: {value!r} has no {name}({arguments}) of its own")
    if arguments == "request":
        check_call(f"{where}: {value!r}", value, name, "request")


def check_call(where: str, value: Any, name: str, *arguments: str) -> None:
    """Raise ConfigurationError where a method of a class, or of an object, does not take these arguments."""
    method = getattr(value, name)
    if not inspect.isfunction(getattr(method, "__func__", method)):
        return
    of_class = isinstance(inspect.getattr_static(value, name), (staticmethod, classmethod))
    instance = ["self"] if isinstance(value, type) and not of_class else []
    try:
        inspect.signature(method).bind(*instance, *arguments)
    except TypeError as error:
        raise ConfigurationError(f"{where}: can't be called as {name}({', '.join(arguments)}): {error}") from None


@explained
class Serializer:
    """Say which fields answers show: ``fields`` always, or ``read`` for GET and ``write`` for other verbs.

    Each is a list of field names; None shows every field. Input is never limited. A subclass may set ``read``,
    ``write`` or ``fields`` as class attributes and is given as it is: ``serializer = PublicSerializer``.

    Raises ConfigurationError for ``fields`` together with ``read`` or ``write``, and for anything but lists of
    names; names that are no field are found when the endpoint is registered.
    """

    fields: ClassVar[Any] = None
    read: ClassVar[Any] = None
    write: ClassVar[Any] = None

    def __init__(
        self,
        fields: Sequence[str] | None = None,
        read: Sequence[str] | None = None,
        write: Sequence[str] | None = None,
    ) -> None:
        own = type(self)
        if fields is None and read is None and write is None:
            fields, read, write = own.fields, own.read, own.write
        if fields is not None and (read is not None or write is not None):
            raise ConfigurationError(f"{own.__name__}: fields together with read or write; give one form")
        self.shown_by_read = names_in(f"{own.__name__}(read=...)", read if fields is None else fields)
        self.shown_by_write = names_in(f"{own.__name__}(write=...)", write if fields is None else fields)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(read={self.shown_by_read}, write={self.shown_by_write})"


def names_in(where: str, given: Any, kind: str = "field names") -> tuple[str, ...] | None:
    """Return a list of different names as a tuple, None for None; raise ConfigurationError for anything else."""
    if given is None:
        return None
    if isinstance(given, (list, tuple)) and given and all(isinstance(name, str) for name in given):
        doubled = sorted({name for name in given if given.count(name) > 1})
        if not doubled:
            return tuple(given)
        raise ConfigurationError(f"{where}: {doubled[0]!r} is named twice")
    raise ConfigurationError(f"{where}: {given!r} given; allowed: a list of {kind}, at least one")


@explained
@dataclass(frozen=True)
class Filtering:
    """Say what the query string of a list may ask for."""

    backends: Sequence[Any] | None = None
    """Filter classes: ``FieldFilter``, ``SearchFilter``, ``OrderingFilter`` and your own; only those given act.

    Default: those that ``fields``, ``search`` and ``ordering`` call for.
    """

    fields: Sequence[str] | Mapping[str, Sequence[str]] = ()
    """Filters: ``["price", "price__gte"]``, or ``{"price": ["exact", "gte"]}``."""

    search: Sequence[str] = ()
    """The text fields that ``?search=`` looks into, case-insensitively."""

    ordering: Sequence[str] = ()
    """The fields that ``?ordering=name`` and ``?ordering=-name`` may name."""

    strict: bool = False
    """True: a query parameter or ordering that nothing declares is a 422. Default: it is ignored."""

    def __post_init__(self) -> None:
        for name in ("search", "ordering"):
            value = getattr(self, name)
            names_in(f"Filtering({name}=...)", value or None)
        if isinstance(self.fields, Mapping):
            names_in("Filtering(fields=...)", [*self.fields] or None)
            for field_name, operators in self.fields.items():
                names_in(f"Filtering(fields={{{field_name!r}: ...}})", operators or (), "operators")
        else:
            names_in("Filtering(fields=...)", self.fields or None)
        if self.backends is not None and not isinstance(self.backends, (list, tuple)):
            raise ConfigurationError(f"Filtering(backends=...): {self.backends!r} given; allowed: a list of classes")
        for backend in self.backends or ():
            _check_backend(backend)
        if not isinstance(self.strict, bool):
            raise ConfigurationError(f"Filtering(strict=...): {self.strict!r} given; allowed: True or False")


def _check_backend(backend: Any) -> None:
    where = "Filtering(backends=...)"
    _require_method(backend, "filter_queryset", where, "request, queryset, view")
    check_call(f"{where}: {backend!r}", backend, "filter_queryset", "request", "queryset", "view")
    if backend.filter_queryset.__qualname__ == "BaseFilter.filter_queryset":
        raise ConfigurationError(f"{where}: {backend!r} has no filter_queryset(request, queryset, view) of its own")
    names_in(f"{where}: {backend!r}.parameters", getattr(backend, "parameters", None) or None, "query parameters")


STYLES = ("page_number", "cursor", "limit_offset")
COUNTS = (True, "capped", "estimate", False)


@explained
@dataclass(frozen=True)
class Pagination:
    """Say how a list is cut into pages."""

    style: Literal["page_number", "cursor", "limit_offset"] = "page_number"
    """``?page=``, ``?cursor=`` or ``?offset=``."""

    page_size: int = 20
    """Rows on a page; at least 1."""

    max_page_size: int | None = None
    """The most rows a client may ask for with ``?page_size=`` (``?limit=``). Default: it may not ask."""

    count: Literal[True, False, "capped", "estimate"] = True
    """How rows are counted: exactly, up to 10,000, roughly where nothing is filtered, or not at all."""

    backwards: bool = False
    """True: cursor pages carry ``previous`` too."""

    def __post_init__(self) -> None:
        one_of("Pagination(style=...)", self.style, STYLES)
        one_of("Pagination(count=...)", self.count, COUNTS)
        one_of("Pagination(backwards=...)", self.backwards, (True, False))
        for name in ("page_size", "max_page_size"):
            size = getattr(self, name)
            if name == "max_page_size" and size is None:
                continue
            if type(size) is not int or not 1 <= size <= MOST_ROWS:
                raise ConfigurationError(
                    f"Pagination({name}=...): {size!r} given; allowed: a whole number, 1 to {MOST_ROWS}"
                )
        if self.max_page_size is not None and self.max_page_size < self.page_size:
            raise ConfigurationError(
                f"Pagination(max_page_size={self.max_page_size}) is less than page_size={self.page_size}"
            )
        if self.style == "cursor" and isinstance(self.count, str):
            raise ConfigurationError(
                f"Pagination(count={self.count!r}) is for other styles: cursor pages have no count"
            )
        if self.backwards and self.style != "cursor":
            raise ConfigurationError("Pagination(backwards=True) is for style='cursor'; other styles go back anyway")


MOST_ROWS = 1_000_000
"""The largest page anybody may declare."""


def one_of(where: str, value: Any, allowed: Sequence[Any]) -> None:
    """Raise ConfigurationError unless the value, type included, is one of those allowed."""
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        hint = nearest(value, [each for each in allowed if isinstance(each, str)]) if isinstance(value, str) else ""
        raise ConfigurationError(f"{where}: {value!r} given; allowed: {', '.join(map(repr, allowed))}{hint}")


@explained
@dataclass(frozen=True)
class Cache:
    """Keep the answers of GET in Redis: bytes, per caller wherever the answer may depend on the caller.

    Every POST, PUT, PATCH and DELETE of the table makes what is kept of it void.
    """

    ttl: float
    """Seconds that an answer is kept."""

    vary_on: Sequence[str] | None = None
    """The query parameters that count; all others are left out before the answer is made. Default: all count."""

    vary_headers: Sequence[str] | None = None
    """Request headers that make different answers, ``Accept-Language`` for example."""

    def __post_init__(self) -> None:
        ttl: Any = self.ttl
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 < ttl <= _LONGEST:
            raise ConfigurationError(
                f"Cache(ttl=...): {ttl!r} given; allowed: seconds, more than 0, at most {_LONGEST}"
            )
        if self.vary_on not in (None, [], ()):
            names_in("Cache(vary_on=...)", self.vary_on, "query parameters")
        for name in names_in("Cache(vary_headers=...)", self.vary_headers or None, "header names") or ():
            if name == "*" or not _TOKEN.fullmatch(name):
                raise ConfigurationError(f"Cache(vary_headers=...): {name!r} given; allowed: header names")


_LONGEST = 10 * 365 * 24 * 3600
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110 section 5.6.2."""
