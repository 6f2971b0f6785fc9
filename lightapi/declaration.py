"""Read the fields of a class: annotations resolved, options checked, storage decided."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import FrameType, UnionType
from typing import Annotated, Any, ClassVar, Final, Optional, Union, get_args, get_origin, get_type_hints

import pydantic
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lightapi.constraints import check_count
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.fields import OWN_OPTIONS, own_options
from lightapi.problems import Problems
from lightapi.storage import Storage, checks_of, constrained, storage_of

__all__ = ["AUTOMATIC", "MAINTAINED", "FieldSpec", "Shape", "column_spec", "declared_fields", "declared_shape"]

AUTOMATIC = ("id", "version", "created_at", "updated_at")
"""The columns every endpoint gets."""


_CLASS_VARIABLE = re.compile(r"\s*(\w+\.)?ClassVar\b")


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """One declared field, everything about it decided."""

    name: str
    annotation: Any
    """As written, resolved; constraints are in ``info``."""
    info: FieldInfo
    options: Mapping[str, Any]
    """LightAPI's own ``Field`` options."""
    storage: Storage
    alias: str = ""
    """The attribute that holds the value in pydantic models, where ``name`` can't be one; else empty."""

    @property
    def attribute(self) -> str:
        """Return the attribute that holds the value in pydantic models."""
        return self.alias or self.name

    @property
    def has_default(self) -> bool:
        """True when a body may leave the field out."""
        return not self.info.is_required() or "server_default" in self.options

    @property
    def uses_server_default(self) -> bool:
        """True when only the database knows the default."""
        return self.info.is_required() and "server_default" in self.options


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the columns of one endpoint are to its API."""

    specs: Mapping[str, FieldSpec]
    """Every column that answers may show, in their order."""
    key: tuple[str, ...]
    """The columns of the primary key."""
    posted: tuple[str, ...]
    """What the body of a POST may give."""
    changed: tuple[str, ...]
    """What the bodies of PUT and PATCH may give."""
    automatic: frozenset[str]
    """Those of version, created_at and updated_at that we keep."""


def _automatic_spec(name: str, annotation: Any) -> FieldSpec:
    """Return the spec of a column that nobody declared."""
    info = FieldInfo.from_annotation(annotation)
    return FieldSpec(
        name=name, annotation=annotation, info=info, options={}, storage=storage_of(name, annotation, [], {})
    )


_ID = _automatic_spec("id", int)
MAINTAINED = {
    "version": _automatic_spec("version", int),
    "created_at": _automatic_spec("created_at", datetime | None),
    "updated_at": _automatic_spec("updated_at", datetime | None),
}


def column_spec(
    name: str,
    number: int,
    *,
    kind: str,
    python: Any,
    constraints: tuple[Any, ...],
    bounds: Any,
    places: int | None,
    nullable: bool,
    has_default: bool,
) -> FieldSpec:
    """Return the spec of a column that a database's own table has; ``number`` tells it from others.

    It is required unless it may be NULL or the database has a default for it.
    """
    details: dict[str, Any] = {"sa_type": bounds} if bounds is not None else {}
    if places is not None:
        details["decimal_places"] = places
    if kind in _UNDECLARABLE:
        storage = Storage(kind=kind, python=python, nullable=nullable, checks=checks_of(kind))
    else:
        storage = replace(storage_of(name, python, [], details), kind=kind, nullable=nullable)
    annotation: Any = Optional[python] if nullable else python  # noqa: UP045  a value here
    # pydantic takes attributes with an underscore, and those of its models, for its own.
    alias = f"column_{number}" if name.startswith("_") or hasattr(BaseModel, name) else ""
    default = None if nullable and not has_default else PydanticUndefined
    field = pydantic.Field(default=default, alias=name if alias else None)
    info = FieldInfo.from_annotated_attribute(constrained(annotation, constraints), field)
    options = {"server_default": True} if has_default else {}
    if kind == "bytes":
        options["base64"] = True
    return FieldSpec(name=name, annotation=annotation, info=info, options=options, storage=storage, alias=alias)


_UNDECLARABLE = ("custom", "json", "opaque")


def declared_shape(fields: Mapping[str, FieldSpec]) -> Shape:
    """Return the shape of a class whose table is made from its fields."""
    return Shape(
        specs={"id": _ID, **fields, **MAINTAINED},
        key=("id",),
        posted=tuple(fields),
        changed=tuple(fields),
        automatic=frozenset(MAINTAINED),
    )


def declared_fields(cls: type, reserved: frozenset[str]) -> dict[str, FieldSpec]:
    """Return the fields of ``cls`` in order: bases first, then its own.

    ``reserved`` are the names no field may have. Raises ConfigurationError naming class and field.
    Call it while the class is made: local names are looked up in the frames that are defining it.
    """
    fields: dict[str, FieldSpec | None] = {}
    for base in reversed(cls.__mro__[1:]):
        inherited = base.__dict__.get("_fields")
        if inherited is not None:
            fields.update(inherited)
        elif base is not object and base.__module__ != "lightapi.endpoint":
            fields.update(_own_fields(cls, base, reserved))
    fields.update(_own_fields(cls, cls, reserved))
    return {name: spec for name, spec in fields.items() if spec is not None}


def _own_fields(owner: type, source: type, reserved: frozenset[str]) -> dict[str, FieldSpec | None]:
    fields: dict[str, FieldSpec | None] = {}
    annotations = inspect.get_annotations(source)
    for name, value in vars(source).items():
        if isinstance(value, FieldInfo) and name not in annotations:
            raise ConfigurationError(
                f"{owner.__name__}.{name}: Field(...) without an annotation; write '{name}: str = Field(...)'"
            )
    scopes = _scopes(source)
    problems = Problems()
    for name, raw in annotations.items():
        if name.startswith("_") or (name == "model_config" and name in vars(source)):
            continue
        if isinstance(raw, str) and _CLASS_VARIABLE.match(raw):
            continue
        with problems.collected():
            annotation = _resolved(f"{owner.__name__}.{name}", raw, scopes)
            if annotation is Final or get_origin(annotation) is Final:
                raise ConfigurationError(
                    f"{owner.__name__}.{name}: Final can't be stored; allowed: the type, or ClassVar"
                )
            if get_origin(annotation) is not ClassVar and annotation is not ClassVar:
                _check_name(owner, name, reserved)
                fields[name] = _field(owner, name, annotation, vars(source).get(name, PydanticUndefined))
    problems.raise_all()
    return fields


def _check_name(owner: type, name: str, reserved: frozenset[str]) -> None:
    if name in AUTOMATIC:
        raise ConfigurationError(
            f"{owner.__name__}.{name}: every endpoint has the column {name!r} already; "
            "leave the field out or give it another name"
        )
    if name in reserved:
        raise ConfigurationError(
            f"{owner.__name__}.{name}: {name!r} is an attribute of RestEndpoint and can't name a "
            f"field; use another name, for example '{name}_'"
        )


def _resolved(where: str, raw: Any, scopes: tuple[dict[str, Any], dict[str, Any]]) -> Any:
    """Evaluate an annotation in the module of its class and the functions that enclose it."""
    holder = type("Holder", (), {"__annotations__": {"it": raw}})
    try:
        return get_type_hints(holder, *scopes, include_extras=True)["it"]
    except Exception as error:
        raise ConfigurationError(f"{where}: the annotation {raw!r} can't be resolved ({error})") from error


def _scopes(source: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the names of a class's module, and those of the functions and classes that enclose it.

    A module that is not imported (``exec``) is found in its frames.
    """
    module = sys.modules.get(source.__module__)
    names = dict(vars(module)) if module else {}
    enclosing = [part for part in source.__qualname__.split(".")[:-1] if part != "<locals>"]
    scopes: list[Mapping[str, Any]] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == source.__module__:
            names = names or dict(frame.f_globals)
            if enclosing and frame.f_code.co_name == enclosing[-1]:
                enclosing.pop()
                scopes.append(frame.f_locals)
        frame = frame.f_back
    local_names: dict[str, Any] = {}
    for scope in reversed(scopes):
        local_names.update(scope)
    return names, local_names


def _field(owner: type, name: str, annotation: Any, default: Any) -> FieldSpec | None:
    """Return one field, None when it is excluded; every failure names it."""
    where = f"{owner.__name__}.{name}"
    try:
        if default is PydanticUndefined:
            info = FieldInfo.from_annotation(annotation)
        else:
            info = FieldInfo.from_annotated_attribute(annotation, default)
        inner = _inner_infos(annotation)
        options = {key: value for each in (*inner, info) for key, value in own_options(each).items()}
        _check_options(where, info, options)
        if options.get("exclude"):
            return None
        bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
        metadata = [*info.metadata, *(constraint for each in inner for constraint in each.metadata)]
        storage = storage_of(where, bare, metadata, options)
        info = _checked_default(where, bare, info, storage)
    except ConfigurationError:
        raise
    except Exception as error:
        # pydantic and typing raise many kinds for a wrong declaration; their last line says what is wrong.
        raise ConfigurationError(f"{where}: {str(error).strip().splitlines()[-1]}") from error
    return FieldSpec(name=name, annotation=bare, info=info, options=options, storage=storage)


def _inner_infos(annotation: Any) -> list[FieldInfo]:
    """Return what is said inside ``Optional[Annotated[...]]``, where pydantic does not collect it."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, UnionType):
        return []
    return [FieldInfo.from_annotation(part) for part in get_args(annotation) if get_origin(part) is Annotated]


def _check_options(where: str, info: FieldInfo, options: Mapping[str, Any]) -> None:
    if "invalid" in options:
        raise ConfigurationError(f"{where}: {options['invalid']}")
    for name in options.get("unknown_options", ()):
        known = [*inspect.signature(FieldInfo.__init__).parameters, *_KNOWN]
        hint = nearest(name, known) or f"; LightAPI's own: {', '.join(OWN_OPTIONS)}"
        raise ConfigurationError(f"{where}: Field has no option {name!r}{hint}")
    if info.alias or info.validation_alias or info.serialization_alias:
        raise ConfigurationError(f"{where}: aliases are not supported; the JSON key is the field's name")
    if info.default_factory is not None and not callable(info.default_factory):
        raise ConfigurationError(f"{where}: default_factory={info.default_factory!r} given; allowed: a function")
    check_count(where, "decimal_places", options.get("decimal_places"))
    target = options.get("foreign_key")
    if target is not None and not (isinstance(target, str) and target.count(".") in (1, 2)):
        raise ConfigurationError(f"{where}: foreign_key={target!r} given; allowed: 'table.column'")
    for name in ("unique", "index", "exclude"):
        if not isinstance(options.get(name, False), bool):
            raise ConfigurationError(f"{where}: {name}={options[name]!r} given; allowed: True or False")


_KNOWN = (
    *OWN_OPTIONS,
    *("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "max_digits"),
    *("pattern", "strict", "title", "description", "examples", "default", "default_factory"),
)


def _checked_default(where: str, annotation: Any, info: FieldInfo, storage: Storage) -> FieldInfo:
    """Validate the default as a client's value would be; a wrong one is a wrong declaration."""
    if info.default_factory is not None:
        info.validate_default = True
    if info.is_required() or info.default_factory is not None:
        return info
    try:
        info.default = TypeAdapter(constrained(annotation, [*info.metadata, *storage.checks])).validate_python(
            info.default
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        hint = "; write Optional[...] to allow None" if info.default is None else ""
        raise ConfigurationError(f"{where}: the default {info.default!r} is not valid: {reason}{hint}") from error
    return info
