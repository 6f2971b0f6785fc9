"""What editors are told of YAML files is what the loader takes: one changed value is refused by both or by none."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from lightapi.declarative.checking import check_shape
from lightapi.declarative.json_schema import json_schema
from lightapi.declarative.problems import Source
from lightapi.declarative.tree import read_tree

FULL = """
database: { url: "sqlite://" }
title: T
version: "1"
description: d
docs_url: /docs
openapi_url: /openapi.json
base_url: https://api.example.com
max_body_size: 10
database_timeout: 1.5
create_tables: true
sqlite_foreign_keys: true
mode: sync
cors_origins: ["*"]
cors_allow_credentials: false
rate_limiter: { requests_per_minute: 3 }
routes: a.b
asgi_middleware: a.b
lifespan: "a:b"
middleware: [CORSMiddleware]
auth: { auth_path: /auth, login_validator: a.b }
auth_path: /auth
login_validator: a.b
middlewares: [CORSMiddleware]
database_url: "sqlite://"
default_pagination: { style: cursor, page_size: 5 }
default_authentication: { backend: JWTAuthentication }
x-anything: 1
defaults:
  authentication:
    backend: JWTAuthentication
    permission: { GET: AllowAny }
    jwt_expiration: 5
    jwt_extra_claims: [a]
    jwt_algorithm: HS256
  pagination: { style: cursor, page_size: 5, max_page_size: 6, count: capped, backwards: true }
endpoints:
  - route: /a
    name: A
    description: d
    table: t
    reflect: partial
    fields:
      a:
        { type: str, enum: [a], optional: true, default: a, min_length: 1, max_length: 2, pattern: a, gt: 1, ge: 1,
          lt: 1, le: 1, multiple_of: 1, max_digits: 1, decimal_places: 1, strict: true, coerce_numbers_to_str: true,
          foreign_key: a.b, unique: true, index: true, exclude: true, server_default: "1", sa_type: String, title: a,
          description: b, examples: [1], deprecated: true, json_schema_extra: { a: 1 } }
    meta:
      schema: s
      primary_key: [a]
      methods: { GET: { authentication: { backend: [a.b], permission: a } }, POST: null }
      authentication: { backend: [x.y] }
      pagination: { count: false }
      filtering: { fields: { a: [exact] }, search: [a], ordering: [a], strict: true, backends: [FieldFilter] }
      serializer: { fields: [a], read: [a], write: [b] }
      cache: { ttl: 5, vary_on: [], vary_headers: [a] }
      extra: forbid
      queryset_scope: all
  - { route: /b, class: a.b }
"""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, 10**20, 2_000_000),
    *("", "x", "/x", "a.b", "a b", "1a.b", "é.x", "_x", "true", "GET", "partial", "capped"),
    *([], [1], ["x"], ["GET"], ["x", "x"]),
    *({}, {"x": 1}, {"GET": None}, {"GET": "x"}, {"_x": {"type": "str"}}, {"é": {"type": "str"}}),
)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
DOCUMENT: dict[str, Any] = yaml.safe_load(FULL)
VALIDATOR = jsonschema_rs.Draft202012Validator(json_schema())


def changed(part: Any) -> Iterator[Any]:
    """Yield copies of a value in which one value is another, missing, or stands beside an unknown key."""
    if not isinstance(part, dict | list):
        return
    for key in part if isinstance(part, dict) else range(len(part)):
        for value in (*VALUES, *changed(part[key])):
            twin = copy.copy(part)
            twin[key] = value
            yield twin
        twin = copy.copy(part)
        del twin[key]
        yield twin
    if isinstance(part, dict):
        yield {**part, "unknown": 1}


def takes(document: Any) -> bool:
    """Tell whether the loader finds nothing wrong with the shape of a document."""
    text = yaml.dump(document, Dumper=DUMPER, allow_unicode=True, sort_keys=False)
    tree = read_tree(Source("lightapi.yaml"), text)
    check_shape(tree)
    return not tree.problems


@pytest.mark.parametrize("key", DOCUMENT)
def test_the_schema_and_the_loader_agree(key: str) -> None:
    documents = [{key: value} for value in (*VALUES, *changed(DOCUMENT[key]))]

    differing = [each[key] for each in documents if VALIDATOR.is_valid(each) != takes(each)]
    assert differing == []


@pytest.mark.parametrize("value", ["${SIZE}", "${SIZE:-20}"])
def test_the_schema_takes_a_variable_for_a_number(value: str) -> None:
    assert VALIDATOR.is_valid({"max_body_size": value})


def test_every_key_is_described_and_no_other_is_taken() -> None:
    schema = json_schema()
    shapes = [schema, *(each for each in schema["$defs"].values() if "properties" in each)]

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert [each for each in shapes if each["additionalProperties"] is not False] == []
    described = ("description", "$ref")
    keys = [(name, about) for each in shapes for name, about in each["properties"].items()]
    assert [name for name, about in keys if not any(word in about for word in described)] == []
