"""JSON Schema (draft 2020-12) of what pydantic validates and serialises, as the document shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from lightapi.openapi import lax

__all__ = ["REFERENCE", "BodySchema", "ParameterSchema", "Wanted", "schemas_of"]

logger = logging.getLogger("lightapi")

REFERENCE = "#/components/schemas/{model}"

Wanted = tuple[str, Any]
"""``"validation"`` or ``"serialization"``, and a pydantic TypeAdapter."""


class DocumentSchema(GenerateJsonSchema):
    """pydantic's own, without the titles that repeat a name; what has no schema may be anything."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: the name of a property says it."""
        return False

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        """Return the schema of anything."""
        return {}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Say nothing: a default that is no JSON is left out."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a Decimal, which answers hold as text."""
        return lax.decimal(schema) if self.mode == "validation" else {"type": "string", "pattern": _DECIMAL}


_TIME = r"^[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?$"
_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"


class ParameterSchema(DocumentSchema):
    """The schema of a value in a query string or a path."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a Decimal."""
        return {"type": "number"}

    def datetime_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a moment; the others here are alike."""
        return lax.moment()

    def date_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a date."""
        return lax.date()

    def timedelta_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a duration."""
        return lax.duration()


class BodySchema(DocumentSchema):
    """The schema of a request's or an answer's body: in requests, of everything that is accepted."""

    def _accepted(self, schema: Any, strict: dict[str, Any], lenient: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        is_lax = self.mode == "validation" and not schema.get("strict", self._config.strict)
        return lenient() if is_lax else strict

    def int_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of an integer; the others here are alike."""
        strict = super().int_schema(schema)
        return self._accepted(schema, strict, lambda: lax.integer(strict))

    def float_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a float."""
        strict = super().float_schema(schema)
        return self._accepted(schema, strict, lambda: lax.number(strict))

    def bool_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a bool."""
        return self._accepted(schema, super().bool_schema(schema), lax.boolean)

    def datetime_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a moment."""
        strict = super().datetime_schema(schema)
        if self.mode == "validation":
            strict["pattern"] = lax.INNER_DAYS
        return self._accepted(schema, strict, lax.moment)

    def date_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a date."""
        return self._accepted(schema, super().date_schema(schema), lax.date)

    def time_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a time; answers have no offset, which RFC 3339 wants."""
        strict = super().time_schema(schema) if self.mode == "validation" else {"type": "string", "pattern": _TIME}
        return self._accepted(schema, strict, lax.time_of_day)

    def timedelta_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a duration; answers have forms of ISO 8601 that RFC 3339 leaves out."""
        strict = (
            super().timedelta_schema(schema) if self.mode == "validation" else {"type": "string", "pattern": "^-?P"}
        )
        return self._accepted(schema, strict, lax.duration)


def _generated(inputs: list[Any], generator: type[DocumentSchema]) -> tuple[dict[Any, Any], dict[str, Any]]:
    found, whole = TypeAdapter.json_schemas(inputs, ref_template=REFERENCE, schema_generator=generator)
    return found, whole


def _sound(wanted: Any, generator: type[DocumentSchema]) -> Any:
    """Return what has a schema as it is, and anything in place of what has none."""
    key, mode, _ = wanted
    try:
        _generated([wanted], generator)
    except Exception as error:  # noqa: BLE001  as above
        logger.warning("openapi: %s of %s may be anything: %s", key[-1], mode, str(error).partition("\n")[0])
        return key, mode, TypeAdapter(Any)
    return wanted


def schemas_of(
    wanted: Mapping[Any, Wanted], generator: type[DocumentSchema]
) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Return a schema for each key, and the components that they refer to."""
    inputs: list[Any] = [(key, mode, adapter) for key, (mode, adapter) in wanted.items()]
    if not inputs:
        return {}, {}
    try:
        found, whole = _generated(inputs, generator)
    except Exception:  # noqa: BLE001  hooks of the user's, classes that are not complete
        found, whole = _generated([_sound(each, generator) for each in inputs], generator)
    schemas = {key: schema for (key, _), schema in found.items()}
    definitions: dict[str, Any] = whole.get("$defs", {})
    return schemas, definitions
