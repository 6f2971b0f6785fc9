"""Build an endpoint's pydantic models, validators and serializers, once, from its fields."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Optional

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Strict, TypeAdapter, create_model
from pydantic.fields import FieldInfo
from pydantic_core import SchemaSerializer, SchemaValidator, ValidationError
from typing_extensions import TypedDict

from lightapi.declaration import FieldSpec
from lightapi.exceptions import ConfigurationError, InvalidInput
from lightapi.fields import foreign_extra
from lightapi.storage import constrained

__all__ = ["Schemas", "build_schemas", "invalid_input", "row_serializers"]


@dataclass(frozen=True, kw_only=True)
class Schemas:
    """What validates and describes one endpoint's bodies."""

    create: type[BaseModel]
    replace: type[BaseModel]
    patch: type[BaseModel]
    read: type[BaseModel]


_Version = Annotated[int, Strict(), Ge(1)]
"""A JSON integer of at least 1: no bool, no string, no float."""

_IGNORED_IN_BODIES = ("id", "created_at", "updated_at")


def build_schemas(owner: str, specs: Mapping[str, FieldSpec], config: ConfigDict, *, forbid: bool) -> Schemas:
    """Build the models of one class; ``owner`` names it in messages and in OpenAPI.

    Raises ConfigurationError when pydantic can't build a field, naming it.
    """
    if not isinstance(config, dict):
        raise ConfigurationError(f"{owner}.model_config: {config!r} given; allowed: ConfigDict(...)")
    if config.get("alias_generator") is not None:
        raise ConfigurationError(f"{owner}.model_config: aliases are not supported; the JSON key is the field's name")
    config = ConfigDict(**{**config, "protected_namespaces": ()})
    ignored: dict[str, Any] = {}
    if forbid:
        config["extra"] = "forbid"
        ignored = dict.fromkeys(_IGNORED_IN_BODIES, (Any, None))
    elif config.get("extra") == "forbid":
        ignored = dict.fromkeys(_IGNORED_IN_BODIES, (Any, None))
    answers_text = config.get("ser_json_bytes", "utf8") == "utf8"
    create = {name: _input_field(spec, checked=answers_text) for name, spec in specs.items()}
    patch = {name: _optional(field) for name, field in create.items()}
    version: dict[str, Any] = {"version": (_Version, ...)}
    posted: dict[str, Any] = {"version": (Any, None)} if ignored else {}
    return Schemas(
        create=_model(owner, f"{owner}Create", {**create, **ignored, **posted}, config),
        replace=_model(owner, f"{owner}Replace", {**create, **ignored, **version}, config),
        patch=_model(owner, f"{owner}Patch", {**patch, **ignored, **version}, config),
        read=_model(owner, f"{owner}Read", _read_fields(specs), ConfigDict(protected_namespaces=())),
    )


def _model(owner: str, name: str, fields: dict[str, Any], config: ConfigDict) -> type[BaseModel]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")
        try:
            model: type[BaseModel] = create_model(name, __config__=config, **fields)
            model.model_rebuild()
        except Exception as error:
            raise ConfigurationError(f"{owner}{_guilty(fields, config)}: {error}") from error
    return model


def _guilty(fields: Mapping[str, Any], config: ConfigDict) -> str:
    """Return ``.name`` of the first field that can't be built alone."""
    for name, (annotation, info) in fields.items():
        try:
            create_model("Probe", __config__=config, probe=(annotation, info))
        except Exception:  # noqa: BLE001  any failure names the field
            return f".{name}"
    return ""


def _input_field(spec: FieldSpec, *, checked: bool) -> tuple[Any, FieldInfo]:
    """Return annotation and FieldInfo for bodies: the user's constraints, then what storage needs.

    Bytes that are answered encoded need no check.
    """
    checks = spec.storage.checks if checked or spec.storage.kind != "bytes" else ()
    info = copy(spec.info)
    info.annotation = spec.annotation
    info.metadata = [*spec.info.metadata, *checks]
    info.json_schema_extra = foreign_extra(spec.info) or None
    if spec.uses_server_default:
        info.default = None
        info.validate_default = False
    return spec.annotation, info


def _optional(field: tuple[Any, FieldInfo]) -> tuple[Any, FieldInfo]:
    """Make a field omissible for PATCH; what was sent is in ``model_fields_set``."""
    annotation, info = field
    info = copy(info)
    info.default = None
    info.default_factory = None
    info.validate_default = False
    return annotation, info


def _read_fields(specs: Mapping[str, FieldSpec]) -> dict[str, Any]:
    declared = {}
    for name, spec in specs.items():
        info = copy(spec.info)
        info.metadata = []
        info.json_schema_extra = foreign_extra(spec.info) or None
        declared[name] = (spec.annotation, info)
    return {
        "id": (int, ...),
        **declared,
        "version": (int, ...),
        "created_at": (datetime | None, ...),
        "updated_at": (datetime | None, ...),
    }


def row_serializers(annotations: Mapping[str, Any], config: ConfigDict) -> tuple[SchemaSerializer, SchemaSerializer]:
    """Return the serializers of one row and of a list of rows, both given as plain dicts."""
    encoding = {name: value for name, value in config.items() if name == "ser_json_bytes"}
    row: Any = TypedDict("Row", dict(annotations))  # type: ignore[misc]  # made at run time  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    setattr(row, "__pydantic_config__", encoding)  # noqa: B010  mypy takes row for a TypedDict
    return _serializer(row), _serializer(list[row])


def _serializer(annotation: Any) -> SchemaSerializer:
    serializer = TypeAdapter(annotation).serializer
    assert isinstance(serializer, SchemaSerializer)
    return serializer


def answer_annotation(spec: FieldSpec) -> Any:
    """Return the annotation that serialises a stored value of this field."""
    by_kind: dict[str, Any] = {"json": Any, "custom": Any, "literal": Any, "text": str}
    if spec.storage.kind == "bytes" and spec.info.metadata:
        return constrained(spec.annotation, spec.info.metadata)  # an encoder answers, too
    annotation = by_kind.get(spec.storage.kind, spec.storage.python)
    return Optional[annotation]  # noqa: UP045  the annotation is a value here, maybe a string form


def invalid_input(error: ValidationError) -> InvalidInput:
    """Turn pydantic's refusal into a 422; nothing the client sent is echoed."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return InvalidInput([{"type": p["type"], "loc": list(p["loc"]), "msg": p["msg"]} for p in problems])


def validator_of(model: type[BaseModel]) -> SchemaValidator:
    """Return the compiled validator of a model."""
    validator = model.__pydantic_validator__
    assert isinstance(validator, SchemaValidator)
    return validator


def names_of(fields: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of an answer in order: id, the fields, version, created_at, updated_at."""
    return ("id", *fields, "version", "created_at", "updated_at")
