"""The options of a class's ``Meta``, checked when the class is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lightapi.config import (
    VERBS,
    Authentication,
    Cache,
    Filtering,
    Pagination,
    Serializer,
    names_in,
    one_of,
    overridden,
)
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.problems import Problems

__all__ = ["MetaOptions", "check_misplaced"]


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

    cache: Cache | None = None
    """Keep answers of GET in Redis; default: not."""

    extra: str = "ignore"
    """Unknown keys in a body: ``"ignore"`` or ``"forbid"`` (422)."""

    methods: tuple[str, ...] | Mapping[str, Authentication | None] = ()
    """The verbs: a list, or a dict of each verb's own ``Authentication``; what that leaves out, and None, is as
    ``authentication`` says. Default: those of the ``HttpMethod`` mix-ins, else all five."""

    queryset_scope: str = "list"
    """``"list"``: ``queryset`` scopes lists; ``"all"``: also retrieve, update and delete by id."""

    def authentications(self, authentication: Authentication) -> dict[str, Authentication]:
        """Return who may call each verb, where ``authentication`` is the endpoint's."""
        own = self.methods if isinstance(self.methods, Mapping) else {}
        return {verb: overridden(authentication, own.get(verb) or Authentication()) for verb in VERBS}

    @classmethod
    def of(cls, owner: str, options: Mapping[str, Any]) -> MetaOptions:
        """Check a ``Meta`` body; ``owner`` is the class named in messages.

        Raises ConfigurationError for an unknown option or a value outside its choices.
        """
        known = [option.name for option in fields(cls)]
        problems = Problems()
        for name, value in options.items():
            with problems.collected():
                if name not in known:
                    raise ConfigurationError(
                        f"{owner}.Meta: unknown option {name!r}; allowed: {', '.join(known)}{nearest(name, known)}"
                    )
                _check_option(owner, name, value)
        with problems.collected():
            if options.get("primary_key") and not options.get("reflect"):
                raise ConfigurationError(f"{owner}.Meta.primary_key: is for reflected tables; every other has 'id'")
        problems.raise_all()
        return cls(**{name: _CONVERTED.get(name, _itself)(value) for name, value in options.items()})


def _itself(value: Any) -> Any:
    return value


_CHOICES = {"extra": ("ignore", "forbid"), "queryset_scope": ("list", "all"), "reflect": (False, True, "partial")}
_INSTANCES: dict[str, tuple[type, str]] = {
    "authentication": (Authentication, "Authentication(...)"),
    "cache": (Cache, "Cache(...) or None"),
    "filtering": (Filtering, "Filtering(...)"),
    "pagination": (Pagination, "Pagination(...) or None"),
    "serializer": (Serializer, "Serializer(...) or a subclass of Serializer"),
}
_CONVERTED: dict[str, Any] = {
    "serializer": lambda value: value() if isinstance(value, type) else value,
    "primary_key": lambda value: (value,) if isinstance(value, str) else tuple(value),
    "methods": lambda value: value if isinstance(value, Mapping) else tuple(value),
}


def _check_option(owner: str, name: str, value: Any) -> None:
    where = f"{owner}.Meta.{name}"
    if name in _CHOICES:
        one_of(where, value, _CHOICES[name])
    if name in ("table", "schema") and not (isinstance(value, str) and value):
        raise ConfigurationError(f"{where}: {value!r} given; allowed: a {name} name")
    if name == "primary_key" and not isinstance(value, str):
        names_in(where, value if value is not None else [], "column names, or one name")
    if name == "methods":
        _check_methods(where, value)
    if name in _INSTANCES:
        kind, allowed = _INSTANCES[name]
        is_class = name == "serializer" and isinstance(value, type) and issubclass(value, kind)
        is_none = name in ("pagination", "cache") and value is None
        if not (isinstance(value, kind) or is_class or is_none):
            raise ConfigurationError(f"{where}: {value!r} given; allowed: {allowed}")


def _check_methods(where: str, value: Any) -> None:
    for verb in names_in(where, list(value) if isinstance(value, Mapping) else value or (), "verbs") or ():
        one_of(where, verb, VERBS)
    for verb, own in value.items() if isinstance(value, Mapping) else ():
        if own is None:
            continue
        if not isinstance(own, Authentication):
            raise ConfigurationError(f"{where}[{verb!r}]: {own!r} given; allowed: Authentication(...) or None")
        if isinstance(own.permission, Mapping):
            raise ConfigurationError(
                f"{where}[{verb!r}]: a dict of permissions given; allowed: the permission of {verb}"
            )
        for option in fields(Authentication):
            if option.name.startswith("jwt_") and getattr(own, option.name) != option.default:
                raise ConfigurationError(
                    f"{where}[{verb!r}]: {option.name} is of the whole endpoint; put it into Meta.authentication"
                )


def check_misplaced(cls: type) -> None:
    """Raise ConfigurationError for what was meant for ``Meta`` and would have no effect."""
    kinds = (Authentication, Cache, Filtering, Pagination, Serializer)
    for name, value in vars(cls).items():
        if isinstance(value, kinds):
            raise ConfigurationError(f"{cls.__name__}.{name}: {value!r} has no effect there; put it into class Meta")
        if isinstance(value, type) and name != "Meta" and name.casefold() == "meta":
            raise ConfigurationError(f"{cls.__name__}.{name}: has no effect; did you mean 'Meta'?")
