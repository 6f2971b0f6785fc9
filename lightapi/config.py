"""What a class may say in ``Meta``, checked when the class is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lightapi.exceptions import ConfigurationError, nearest

__all__ = ["VERBS", "Authentication", "MetaOptions"]

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


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


def _require_method(value: Any, name: str, where: str) -> None:
    if not callable(getattr(value, name, None)):
        raise ConfigurationError(f"{where}: {value!r} has no method {name}(request)")


@dataclass(frozen=True, kw_only=True)
class MetaOptions:
    """The options of one class's ``Meta``, defaults filled in."""

    table: str | None = None
    """Table name; default: the class name in lower case plus ``s``."""

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
        return cls(**options)


_CHOICES = {"extra": ("ignore", "forbid"), "queryset_scope": ("list", "all")}


def _check_option(owner: str, name: str, value: Any) -> None:
    choices = _CHOICES.get(name)
    if choices is not None and value not in choices:
        hint = nearest(value, choices) if isinstance(value, str) else ""
        allowed = ", ".join(map(repr, choices))
        raise ConfigurationError(f"{owner}.Meta.{name}: {value!r} given; allowed: {allowed}{hint}")
    if name == "authentication" and not isinstance(value, Authentication):
        raise ConfigurationError(f"{owner}.Meta.authentication: {value!r} given; allowed: Authentication(...)")
    if name == "table" and not (isinstance(value, str) and value):
        raise ConfigurationError(f"{owner}.Meta.table: {value!r} given; allowed: a table name")
