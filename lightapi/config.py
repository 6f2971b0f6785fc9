"""What a class may say in ``Meta``, checked when the class is made."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeVar

from lightapi.exceptions import ConfigurationError, nearest

__all__ = ["VERBS", "Authentication", "Filtering", "MetaOptions", "Pagination", "Serializer", "explained"]

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

    setattr(cls, "__init__", init)  # noqa: B010  a type checker takes it for an instance's
    return cls


@explained
@dataclass(frozen=True)
class Authentication:
    """Say who may call an endpoint: a backend that names the user, a permission that decides."""

    backend: Any = None
    """An authentication class or instance with ``authenticate(request) -> bool``; None: anonymous."""

    permission: Any = None
    """A permission class or instance, or a dict of them per verb (a verb left out is denied).

    Default: ``IsAuthenticated`` when there is a backend, else ``AllowAny``.
    """

    def __post_init__(self) -> None:
        if self.backend is not None:
            _require_method(self.backend, "authenticate", "Authentication(backend=...)")
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


def _require_method(value: Any, name: str, where: str, arguments: str = "request") -> None:
    if not callable(getattr(value, name, None)):
        raise ConfigurationError(f"{where}: {value!r} has no method {name}({arguments})")


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
    arguments = (None,) * (4 if isinstance(backend, type) else 3)
    try:
        inspect.signature(backend.filter_queryset).bind(*arguments)
    except TypeError as error:
        raise ConfigurationError(
            f"{where}: {backend!r}: can't be called as filter_queryset(request, queryset, view): {error}"
        ) from None
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
        _one_of("Pagination(style=...)", self.style, STYLES)
        _one_of("Pagination(count=...)", self.count, COUNTS)
        _one_of("Pagination(backwards=...)", self.backwards, (True, False))
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


def _one_of(where: str, value: Any, allowed: Sequence[Any]) -> None:
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        hint = nearest(value, [each for each in allowed if isinstance(each, str)]) if isinstance(value, str) else ""
        raise ConfigurationError(f"{where}: {value!r} given; allowed: {', '.join(map(repr, allowed))}{hint}")


@dataclass(frozen=True, kw_only=True)
class MetaOptions:
    """The options of one class's ``Meta``, defaults filled in."""

    table: str | None = None
    """Table name; default: the class name in lower case plus ``s``."""

    schema: str | None = None
    """The database schema of the table; default: the connection's own."""

    primary_key: tuple[str, ...] = ()
    """The key of a reflected view or of a reflected table without one: a column name, or several."""

    reflect: Any = False
    """``True``: the columns are those of the table in the database; ``"partial"``: and the declared ones too."""

    serializer: Serializer = field(default_factory=Serializer)
    """What answers show; default: every field."""

    filtering: Filtering = field(default_factory=Filtering)
    """What the query string may ask for; default: nothing."""

    pagination: Pagination | None = None
    """How lists are cut; default: the app's ``default_pagination``, else not at all."""

    authentication: Authentication = field(default_factory=Authentication)
    """Who may call; default: everybody."""

    extra: str = "ignore"
    """Unknown keys in a body: ``"ignore"`` or ``"forbid"`` (422)."""

    queryset_scope: str = "list"
    """``"list"``: ``queryset`` scopes lists; ``"all"``: also retrieve, update and delete by id."""

    @classmethod
    def of(cls, owner: str, options: Mapping[str, Any]) -> MetaOptions:
        """Check a ``Meta`` body; ``owner`` is the class named in messages.

        Raises ConfigurationError for an unknown option or a value outside its choices.
        """
        known = [option.name for option in fields(cls)]
        for name, value in options.items():
            if name not in known:
                raise ConfigurationError(
                    f"{owner}.Meta: unknown option {name!r}; allowed: {', '.join(known)}{nearest(name, known)}"
                )
            _check_option(owner, name, value)
        return cls(**{name: _CONVERTED.get(name, _itself)(value) for name, value in options.items()})


def _itself(value: Any) -> Any:
    return value


_CHOICES = {"extra": ("ignore", "forbid"), "queryset_scope": ("list", "all"), "reflect": (False, True, "partial")}
_INSTANCES: dict[str, tuple[type, str]] = {
    "authentication": (Authentication, "Authentication(...)"),
    "filtering": (Filtering, "Filtering(...)"),
    "pagination": (Pagination, "Pagination(...) or None"),
    "serializer": (Serializer, "Serializer(...) or a subclass of Serializer"),
}
_CONVERTED: dict[str, Any] = {
    "serializer": lambda value: value() if isinstance(value, type) else value,
    "primary_key": lambda value: (value,) if isinstance(value, str) else tuple(value),
}


def _check_option(owner: str, name: str, value: Any) -> None:
    where = f"{owner}.Meta.{name}"
    if name in _CHOICES:
        _one_of(where, value, _CHOICES[name])
    if name in ("table", "schema") and not (isinstance(value, str) and value):
        raise ConfigurationError(f"{where}: {value!r} given; allowed: a {name} name")
    if name == "primary_key" and not isinstance(value, str):
        names_in(where, value if value is not None else [], "column names, or one name")
    if name in _INSTANCES:
        kind, allowed = _INSTANCES[name]
        is_class = name == "serializer" and isinstance(value, type) and issubclass(value, kind)
        is_none = name == "pagination" and value is None
        if not (isinstance(value, kind) or is_class or is_none):
            raise ConfigurationError(f"{where}: {value!r} given; allowed: {allowed}")
