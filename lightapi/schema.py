"""Build an endpoint's pydantic models, validators and serializers, once, from its fields."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Optional

import pydantic
from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, PlainSerializer, Strict, TypeAdapter, WrapSerializer, create_model
from pydantic.fields import FieldInfo
from pydantic_core import CoreConfig, CoreSchema, SchemaSerializer, SchemaValidator, ValidationError, from_json, to_json
from pydantic_core.core_schema import list_schema
from sqlalchemy import String
from typing_extensions import TypedDict

from lightapi.declaration import FieldSpec, Shape
from lightapi.exceptions import ConfigurationError, InvalidInput
from lightapi.fields import foreign_extra
from lightapi.storage import TOO_LONG, constrained
from lightapi.validators import Decorated, validators_on

__all__ = ["Schemas", "answer_model", "build_schemas", "invalid_input", "overflowing", "row_serializers"]


@dataclass(frozen=True, kw_only=True)
class Schemas:
    """What validates and describes one endpoint's bodies."""

    create: type[BaseModel]
    replace: type[BaseModel]
    patch: type[BaseModel]
    read: type[BaseModel]


_Version = Annotated[int, Strict(), Ge(1)]
"""A JSON integer of at least 1: no bool, no string, no float."""


def build_schemas(
    owner: str, shape: Shape, config: ConfigDict, *, forbid: bool, decorated: Decorated = MappingProxyType({})
) -> Schemas:
    """Build the models of one class; ``owner`` names it in messages and in OpenAPI, ``decorated`` are its validators.

    Raises ConfigurationError when pydantic can't build a field, naming it.
    """
    if not isinstance(config, dict):
        raise ConfigurationError(f"{owner}.model_config: {config!r} given; allowed: ConfigDict(...)")
    if config.get("alias_generator") is not None:
        raise ConfigurationError(f"{owner}.model_config: aliases are not supported; the JSON key is the field's name")
    config = ConfigDict(**{**config, "protected_namespaces": ()})
    if forbid:
        config["extra"] = "forbid"
    tolerant = config.get("extra") != "forbid"
    answers_text = config.get("ser_json_bytes", "utf8") == "utf8"
    posted = {name: _input_field(shape.specs[name], checked=answers_text) for name in shape.posted}
    changed = {
        name: posted.get(name) or _input_field(shape.specs[name], checked=answers_text) for name in shape.changed
    }
    version: Fields = {"version": (_Version, FieldInfo())} if "version" in shape.automatic else {}
    create = _keyed(shape, posted, tolerant=tolerant)
    replace = _keyed(shape, {**changed, **version}, tolerant=tolerant)
    patch = _keyed(shape, {**{name: _optional(field) for name, field in changed.items()}, **version}, tolerant=tolerant)
    first = validators_on(decorated, _attributes(shape, posted), whole=True)
    again, some = (validators_on(decorated, _attributes(shape, changed), whole=whole) for whole in (True, False))
    return Schemas(
        create=_model(owner, f"{owner}Create", create, config, first),
        replace=_model(owner, f"{owner}Replace", replace, config, again),
        patch=_model(owner, f"{owner}Patch", patch, config, some),
        read=_model(owner, f"{owner}Read", _read_fields(shape), ConfigDict(protected_namespaces=())),
    )


Fields = dict[str, tuple[Any, FieldInfo]]


def _keyed(shape: Shape, fields: Fields, *, tolerant: bool) -> Fields:
    """Key the fields by attribute; where unknown keys are refused, let the columns that bodies can't set be."""
    ignored: Fields = {}
    if not tolerant:
        rest = [spec for name, spec in shape.specs.items() if name not in fields]
        ignored = {spec.attribute: (Any, _anything(spec)) for spec in rest}
    return {**{shape.specs[name].attribute: field for name, field in fields.items()}, **ignored}


def _attributes(shape: Shape, names: Iterable[str]) -> dict[str, str]:
    return {name: shape.specs[name].attribute for name in names}


def _anything(spec: FieldSpec) -> FieldInfo:
    info: Any = pydantic.Field(default=None, alias=spec.info.alias)
    return info  # type: ignore[no-any-return]


def _model(
    owner: str, name: str, fields: Fields, config: ConfigDict, validators: Mapping[str, Any] = MappingProxyType({})
) -> type[BaseModel]:
    definitions: dict[str, Any] = {**fields}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")
        try:
            model: type[BaseModel] = create_model(name, __config__=config, __validators__={**validators}, **definitions)
            model.model_rebuild()
        except Exception as error:
            # pydantic tells layer by layer where it was; the last line says what is wrong.
            reason = str(error).strip().splitlines()[-1].strip()
            raise ConfigurationError(f"{owner}{_guilty(fields, config)}: {reason}") from error
    return model


def _guilty(fields: Fields, config: ConfigDict) -> str:
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


def _read_fields(shape: Shape) -> Fields:
    fields: Fields = {}
    for spec in shape.specs.values():
        info = copy(spec.info)
        info.metadata = []
        info.json_schema_extra = foreign_extra(spec.info) or None
        fields[spec.attribute] = (spec.annotation, info)
    return fields


def answer_model(name: str, shape: Shape, names: Iterable[str], config: ConfigDict) -> type[BaseModel]:
    """Build the model that describes rows with these columns, as answers have them: every key is there."""
    fields = _read_fields(shape)
    shown: Fields = {}
    for spec in (shape.specs[each] for each in names):
        annotation, info = fields[spec.attribute]
        shown[spec.attribute] = (Any if spec.storage.kind in _UNKNOWN else annotation, info)
    encoding = config.get("ser_json_bytes", "utf8")
    settings = ConfigDict(
        protected_namespaces=(), json_schema_serialization_defaults_required=True, ser_json_bytes=encoding
    )
    return _model(name, name, shown, settings)


_UNKNOWN = ("custom", "opaque")
"""Kinds of storage whose values a type of the database decides."""


def row_serializers(annotations: Mapping[str, Any], config: ConfigDict) -> tuple[SchemaSerializer, SchemaSerializer]:
    """Return the serializers of one row and of a list of rows, both given as plain dicts."""
    row: Any = TypedDict("Row", dict(annotations))  # type: ignore[misc]  # made at run time  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    # Given to the whole serializer, so that it holds for values of unknown types too.
    encoding = CoreConfig(ser_json_bytes=config.get("ser_json_bytes", "utf8"))
    schema = TypeAdapter(row).core_schema
    return SchemaSerializer(schema, encoding), SchemaSerializer(_listed(schema), encoding)


def _listed(schema: CoreSchema) -> CoreSchema:
    """Return the schema of a list: made of the row's, as making that anew would take as long again."""
    if schema["type"] == "definitions":
        return {**schema, "schema": list_schema(schema["schema"])}
    return list_schema(schema)


_TEXT_OF = PlainSerializer(str, return_type=str, when_used="unless-none")
"""Some drivers give objects for columns that are text here: an address for INET, a UUID."""


_SERIALIZERS = (PlainSerializer, WrapSerializer)


def answer_annotation(spec: FieldSpec) -> Any:
    """Return the annotation that serialises a stored value of this field."""
    by_kind: dict[str, Any] = {"json": Any, "custom": Any, "literal": Any, "text": str}
    encoded = any(isinstance(each, _SERIALIZERS) or hasattr(each, "encoder") for each in spec.info.metadata)
    if encoded or (spec.storage.kind == "bytes" and spec.info.metadata):
        return constrained(spec.annotation, spec.info.metadata)  # an encoder answers, too
    if spec.storage.kind == "str" and spec.storage.sa_type is not None and not isinstance(spec.storage.sa_type, String):
        return Annotated[Any, _TEXT_OF]
    annotation = by_kind.get(spec.storage.kind, spec.storage.python)
    return Optional[annotation]  # noqa: UP045  the annotation is a value here, maybe a string form


def overflowing(validator: SchemaValidator, body: bytes) -> InvalidInput | None:
    """Return the 422 for an object with durations beyond Python's, None without: pydantic-core does not say where."""
    problems = []
    for name, value in from_json(body).items():
        try:
            validator.validate_json(to_json({name: value}))
        except ValidationError:
            continue
        except OverflowError:
            problems.append({"type": "timedelta_range", "loc": [name], "msg": TOO_LONG})
    return InvalidInput(problems) if problems else None


def invalid_input(error: ValidationError) -> InvalidInput:
    """Turn pydantic's refusal into a 422; nothing the client sent is echoed."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return InvalidInput([{"type": p["type"], "loc": list(p["loc"]), "msg": p["msg"]} for p in problems])


def validator_of(model: type[BaseModel]) -> SchemaValidator:
    """Return the compiled validator of a model."""
    validator = model.__pydantic_validator__
    assert isinstance(validator, SchemaValidator)
    return validator
