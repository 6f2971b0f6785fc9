"""Who may call what: the table that ``LightApi.describe`` returns, and what its maker may have overlooked."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from lightapi.access import called
from lightapi.config import VERBS, Cache
from lightapi.permissions import AllowAny, allows_anonymous
from lightapi.plan import Plan, Route

__all__ = ["Verb", "described", "point_out_public", "point_out_scope"]

logger = logging.getLogger("lightapi")


class Verb(NamedTuple):
    """One verb of one path, and who may call it."""

    path: str
    verb: str
    endpoint: str
    """The class that answers; empty for LightAPI's own pages."""
    authentication: str
    """The names of the backends in the order in which they are tried; empty: everybody is anonymous."""
    permission: str
    """The name of the permission, or the formula of a combined one."""
    is_public: bool
    """True when everybody may call, as far as it can be told without asking a permission of the user's."""
    cache: Cache | None


def described(plans: Mapping[str, tuple[Plan, Route, Route]], own: Mapping[str, Route]) -> list[Verb]:
    """Return every verb of every path: of the endpoints' collections and items, then of LightAPI's own pages.

    The files that the docs page loads are not among them.
    """
    rows = []
    for path, (plan, collection, item) in plans.items():
        for shown, route in ((path or "/", collection), (f"{path}/{{id}}", item)):
            rows += [_row(shown, verb, route, plan.endpoint) for verb in route.verbs]
    for path, route in own.items():
        rows += [_row(path, verb, route, None) for verb in route.verbs]
    return rows


def _row(path: str, verb: str, route: Route, endpoint: Any) -> Verb:
    access: Any = route.access.get(verb)
    authentication, permission = called(access)
    return Verb(
        path=path,
        verb=verb,
        endpoint="" if endpoint is None else endpoint.__name__,
        authentication=authentication,
        permission=permission,
        is_public=access is None or access.is_public or (not access.backends and allows_anonymous(access.permission)),
        cache=endpoint._options.cache if endpoint is not None and verb == "GET" else None,
    )


def point_out_scope(plans: Mapping[str, tuple[Plan, Route, Route]]) -> None:
    """Log the endpoints whose lists are scoped while every row can be had by its id, and nobody said so."""
    for path, (plan, _, item) in plans.items():
        endpoint: Any = plan.endpoint
        if plan.has_queryset and item.verbs and item.access and "queryset_scope" not in endpoint._meta:
            logger.warning(
                "%s: queryset scopes the list of %s only, any caller reaches every row by its id; set "
                "Meta.queryset_scope to 'all', or to 'list' if that is meant",
                endpoint.__name__,
                path or "/",
            )


def point_out_public(plans: Mapping[str, tuple[Plan, Route, Route]]) -> None:
    """Log the verbs that nobody protected, nor declared public with ``AllowAny``, in an app that protects others."""
    verbs_of = {path: [v for v in VERBS if v in (*pair[0].verbs, *pair[1].verbs)] for path, (_, *pair) in plans.items()}
    declared = {path: {verb: plans[path][0].authentication[verb] for verb in verbs_of[path]} for path in plans}
    everywhere = [each for verbs in declared.values() for each in verbs.values()]
    if not any(each.backend is not None or _restricts(each.permission) for each in everywhere):
        return
    for path, (plan, _, _) in plans.items():
        verbs = sorted(v for v, each in declared[path].items() if each.backend is None and each.permission is None)
        if verbs:
            logger.warning(
                "%s: %s is public (%s) while other endpoints authenticate; say so with "
                "Authentication(permission=AllowAny), or protect it",
                plan.endpoint.__name__,
                path or "/",
                ", ".join(verbs),
            )


def _restricts(permission: Any) -> bool:
    return permission is not None and permission is not AllowAny and type(permission) is not AllowAny
