"""``RestEndpoint``: one class that is a table, a schema and a REST endpoint."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

import pydantic
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from sqlalchemy import Select, select
from starlette.requests import Request
from typing_extensions import dataclass_transform

from lightapi import actions
from lightapi.call import Call, invoked
from lightapi.db.crud import checked_queryset
from lightapi.declaration import FieldSpec, Shape, declared_fields, declared_shape
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.fields import Field
from lightapi.http.body import parse_object
from lightapi.http.drive import has_running_loop
from lightapi.meta import MetaOptions, check_misplaced
from lightapi.methods import verbs_of
from lightapi.problems import Problems, told
from lightapi.schema import Schemas, build_schemas
from lightapi.validators import Decorated, check_validated, declared_validators

__all__ = ["RestEndpoint"]


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, pydantic.Field))
class RestEndpoint:
    """Subclass it, declare fields, register it: ``class Book(RestEndpoint): title: str``.

    The subclass is the mapped class (``select(Book)``, ``Book.title``), its fields are validated
    by pydantic, and its methods, each overridable as ``def`` or ``async def``, answer requests.
    An override returns a Response, or a dict or list that is sent as JSON. The methods here and
    the ``_..._async`` helpers return a Response with its own mutable ``headers``, also for 404,
    409 and 422. In ``async def`` code it may be awaited, and must be where a sync engine meets an
    ``async def queryset``.
    """

    id: int
    version: int
    created_at: datetime
    updated_at: datetime

    _fields: ClassVar[dict[str, FieldSpec]]
    _shape: ClassVar[Shape]
    _attributes: ClassVar[Mapping[str, str]]
    _decorated: ClassVar[Decorated]
    _options: ClassVar[MetaOptions]
    _schemas: ClassVar[Schemas]
    _meta: ClassVar[dict[str, Any]]
    _allowed_methods: ClassVar[set[str]]
    _model_class: ClassVar[Any]
    __schema_create__: ClassVar[type[BaseModel]]
    __schema_read__: ClassVar[type[BaseModel]]

    _call: Call | None = None

    @told
    def __init_subclass__(cls, **arguments: Any) -> None:
        """Read the fields and ``Meta``; raise ConfigurationError for what is wrong in them."""
        super().__init_subclass__(**arguments)
        problems = Problems()
        with problems.collected():
            check_misplaced(cls)
        with problems.collected():
            cls._fields = declared_fields(cls, _RESERVED)
            _clear_attributes(cls)
        with problems.collected():
            cls._meta = _merged_meta(cls)
            cls._options = MetaOptions.of(cls.__name__, cls._meta)
        with problems.collected():
            _check_overrides(cls)
        problems.raise_all()
        cls._allowed_methods = verbs_of(cls, cls._options.methods)
        cls._model_class = cls
        cls._decorated = declared_validators(cls, cls._allowed_methods)
        if not cls._options.reflect:
            check_validated(cls.__name__, cls._decorated, cls._fields)
        config: ConfigDict = getattr(cls, "model_config", ConfigDict())
        cls._attributes = {}
        cls._shaped(declared_shape(cls._fields), config)

    @classmethod
    def _shaped(cls, shape: Shape, config: ConfigDict) -> None:
        """Take over what the columns are: those declared, later those of a reflected table."""
        cls._shape = shape
        forbid = cls._options.extra == "forbid"
        cls._schemas = build_schemas(cls.__name__, shape, config, forbid=forbid, decorated=cls._decorated)
        cls.__schema_create__ = cls._schemas.create
        cls.__schema_read__ = cls._schemas.read

    def __init__(self, **values: Any) -> None:
        """Make a row: ``Book(title="x")``; TypeError for a name that is no column."""
        columns = [self._attributes.get(name, name) for name in self._shape.specs]
        for name, value in values.items():
            if name not in columns:
                raise TypeError(f"{type(self).__name__} has no column {name!r}{nearest(name, columns)}")
            setattr(self, name, value)

    @property
    def request(self) -> Request:
        """The request that is answered, with ``state.user``; a field of this name takes its place.

        Raises RuntimeError outside a request.
        """
        return self._running("request").request

    def queryset(self, request: Request) -> Any:
        """Return the select that lists read from; every row of the class by default."""
        statement: Select[Any] = select(type(self)._model_class)
        return statement

    def list(self, request: Request) -> Any:
        """Answer the rows of ``queryset``."""
        call = self._running("list()")
        if _must_await(call, always=True):
            return self._list_async(request)
        statement = _listed(self, call)
        return call.run(lambda: actions.listing(call.plan, request, statement))

    def retrieve(self, request: Request, pk: str) -> Any:
        """Answer one row."""
        call = self._running("retrieve()")
        if _must_await(call):
            return self._retrieve_async(request, pk)
        return call.run(lambda: actions.retrieving(call.plan, str(pk), _scope(self, call)))

    def create(self, data: dict[str, Any]) -> Any:
        """Validate and insert a row."""
        call = self._running("create()")
        return call.run(lambda: actions.creating(call.plan, data, call.request))

    def update(self, data: dict[str, Any], pk: str, partial: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Validate and change the row that still has ``data["version"]``."""
        call = self._running("update()")
        if _must_await(call):
            return self._update_async(data, pk, partial)
        return call.run(lambda: actions.updating(call.plan, data, str(pk), partial=partial, scope=_scope(self, call)))

    def destroy(self, request: Request, pk: str) -> Any:
        """Delete one row."""
        call = self._running("destroy()")
        if _must_await(call):
            return self._destroy_async(request, pk)
        return call.run(lambda: actions.destroying(call.plan, str(pk), _scope(self, call)))

    def get(self, request: Request) -> Any:
        """Answer GET: ``list`` on the collection, ``retrieve`` on an item."""
        pk = request.path_params.get("id")
        return self.list(request) if pk is None else self.retrieve(request, pk)

    def post(self, request: Request) -> Any:
        """Answer POST: ``create``."""
        return self.create(_body_object(request))

    def put(self, request: Request) -> Any:
        """Answer PUT: ``update``."""
        return self.update(_body_object(request), request.path_params["id"], False)  # noqa: FBT003

    def patch(self, request: Request) -> Any:
        """Answer PATCH: ``update`` with ``partial=True``."""
        return self.update(_body_object(request), request.path_params["id"], True)  # noqa: FBT003

    def delete(self, request: Request) -> Any:
        """Answer DELETE: ``destroy``."""
        return self.destroy(request, request.path_params["id"])

    async def _list_async(self, request: Request) -> Any:
        """Answer the rows of ``queryset``, from async code."""
        call = self._running("_list_async()")
        statement = await _awaited_listed(self, call)
        return await call.arun(lambda: actions.listing(call.plan, request, statement))

    async def _retrieve_async(self, request: Request, pk: Any) -> Any:
        """Answer one row, from async code."""
        call = self._running("_retrieve_async()")
        scope = await _awaited_scope(self, call)
        return await call.arun(lambda: actions.retrieving(call.plan, str(pk), scope))

    async def _create_async(self, data: Mapping[str, Any]) -> Any:
        """Validate and insert a row, from async code."""
        call = self._running("_create_async()")
        return await call.arun(lambda: actions.creating(call.plan, data, call.request))

    async def _update_async(
        self,
        data: Mapping[str, Any],
        pk: Any,
        partial: bool = False,  # noqa: FBT001, FBT002
    ) -> Any:
        """Validate and change the row that still has ``data["version"]``, from async code."""
        call = self._running("_update_async()")
        scope = await _awaited_scope(self, call)
        return await call.arun(lambda: actions.updating(call.plan, data, str(pk), partial=partial, scope=scope))

    async def _destroy_async(self, request: Request, pk: Any) -> Any:
        """Delete one row, from async code."""
        call = self._running("_destroy_async()")
        scope = await _awaited_scope(self, call)
        return await call.arun(lambda: actions.destroying(call.plan, str(pk), scope))

    def background(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """Run ``function``, sync or async, after the response is sent and the work committed.

        An answer of 400 and above commits nothing: its tasks do not run.
        Raises RuntimeError outside a request.
        """
        self._running("background()").tasks.add(function, *args, **kwargs)

    def _running(self, what: str) -> Call:
        call = self._call
        if call is None or not call.active:
            raise RuntimeError(f"{what} called outside request handler")
        return call


def _must_await(call: Call, *, always: bool = False) -> bool:
    """Return True on the event loop of a sync engine when only awaiting can tell the queryset."""
    plan = call.plan
    waits = plan.has_async_queryset or (always and plan.filters.is_async)
    return waits and (always or plan.scoped) and not call.store.is_async and has_running_loop()


def _scope(endpoint: RestEndpoint, call: Call, *, always: bool = False) -> Any:
    """Return the queryset an action is limited to, None where there is none, in sync code."""
    if not call.plan.has_queryset or not (always or call.plan.scoped):
        return None
    statement = endpoint.queryset(call.request)
    return checked_queryset(call.wait(statement) if inspect.isawaitable(statement) else statement)


async def _awaited_scope(endpoint: RestEndpoint, call: Call, *, always: bool = False) -> Any:
    """Return what ``_scope`` does, in async code."""
    if not call.plan.has_queryset or not (always or call.plan.scoped):
        return None
    return checked_queryset(await invoked(call.store, endpoint.queryset, call.request))


def _listed(endpoint: RestEndpoint, call: Call) -> Any:
    """Return what a list selects after the user's filter backends, None for the whole table, in sync code."""
    statement = _scope(endpoint, call, always=True)
    for backend in call.plan.filters.custom:
        base = endpoint.queryset(call.request) if statement is None else statement
        result = backend.filter_queryset(call.request, base, endpoint)
        result = call.wait(result) if inspect.isawaitable(result) else result
        statement = checked_queryset(result, f"{type(backend).__name__}.filter_queryset")
    return statement


async def _awaited_listed(endpoint: RestEndpoint, call: Call) -> Any:
    """Return what ``_listed`` does, in async code."""
    statement = await _awaited_scope(endpoint, call, always=True)
    for backend in call.plan.filters.custom:
        base = endpoint.queryset(call.request) if statement is None else statement
        result = await invoked(call.store, backend.filter_queryset, call.request, base, endpoint)
        statement = checked_queryset(result, f"{type(backend).__name__}.filter_queryset")
    return statement


def _body_object(request: Request) -> dict[str, Any]:
    return parse_object(request._body)


_RESERVED = frozenset(
    name for name in (*dir(RestEndpoint), "model_config", "Meta") if not name.startswith("__") and name != "request"
)


def _clear_attributes(cls: type[RestEndpoint]) -> None:
    """Remove defaults and FieldInfos from the class: SQLAlchemy skips a column that finds one."""
    annotations = inspect.get_annotations(cls)
    for name, value in builtins.list(vars(cls).items()):
        if name in annotations and (name in cls._fields or isinstance(value, FieldInfo)):
            delattr(cls, name)
        elif name in cls._fields:
            raise ConfigurationError(
                f"{cls.__name__}.{name}: hides the inherited field {name!r}; annotate it to "
                "declare it anew, or use another name"
            )


def _check_overrides(cls: type[RestEndpoint]) -> None:
    """Raise ConfigurationError for a method that can't be called as it will be."""
    for name, arguments in _SIGNATURES.items():
        method = getattr(cls, name)
        if method is getattr(RestEndpoint, name):
            continue
        try:
            inspect.signature(method).bind(None, *arguments)
        except TypeError as error:
            raise ConfigurationError(
                f"{cls.__name__}.{name}: can't be called as {name}({', '.join(arguments)}): {error}"
            ) from None


_SIGNATURES = {
    "list": ("request",),
    "retrieve": ("request", "pk"),
    "create": ("data",),
    "update": ("data", "pk", "partial"),
    "destroy": ("request", "pk"),
    "queryset": ("request",),
    **dict.fromkeys(("get", "post", "put", "patch", "delete"), ("request",)),
}


def _merged_meta(cls: type) -> dict[str, Any]:
    """Return the options of ``Meta``, its bases' included; a table name is never inherited."""
    merged: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        meta = base.__dict__.get("Meta")
        if meta is None:
            continue
        if not inspect.isclass(meta):
            raise ConfigurationError(f"{cls.__name__}.Meta: {meta!r} given; allowed: a class")
        for part in reversed(meta.__mro__[:-1]):
            merged.update({k: v for k, v in vars(part).items() if not k.startswith("_")})
        merged.pop("table", None)
    own = cls.__dict__.get("Meta")
    if own is not None and "table" in vars(own):
        merged["table"] = vars(own)["table"]
    return merged
