"""The page without any script: every operation of the document, rendered here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from lightapi.pages.curl import curl_line
from lightapi.pages.files import File, file_of
from lightapi.pages.html import Markup, element, joined, whole_page
from lightapi.pages.words import followed, in_json, text_of, type_of

__all__ = ["plain_page", "stylesheet"]

_VERBS: Final = ("get", "post", "put", "patch", "delete")
_UNTAGGED: Final = "other"


class _Operation(NamedTuple):
    verb: str
    path: str
    says: Mapping[str, Any]

    @property
    def anchor(self) -> str:
        return self.says.get("operationId") or f"{self.verb}-{self.path}"


def stylesheet() -> File:
    """Return the stylesheet of the page."""
    return file_of((Path(__file__).parent / "plain.css").read_bytes(), "text/css")


def plain_page(document: Mapping[str, Any], *, sheet: str, openapi: str, site: str) -> bytes:
    """Return the page; ``site`` is where its curl lines send their requests."""
    info = document["info"]
    groups = _by_tag(document)
    head = [element("link", rel="stylesheet", href=sheet)]
    body = [
        element(
            "header",
            element("h1", info["title"], " ", element("small", info["version"])),
            _text(info.get("description")),
            element("p", "The same for programs: ", element("a", "OpenAPI 3.1 document", href=openapi)),
        ),
        _contents(groups),
        element("main", *(_group(tag, found, document, site) for tag, found in groups.items()), _schemas(document)),
        element(
            "footer",
            "Requests can be tried on this page once ",
            element("code", 'pip install "lightapi[docs]"'),
            " has been run.",
        ),
    ]
    return whole_page(info["title"], head=head, body=body)


def _by_tag(document: Mapping[str, Any]) -> dict[str, list[_Operation]]:
    """Group the operations by their first tag, in the order of the document's tags."""
    groups: dict[str, list[_Operation]] = {tag["name"]: [] for tag in document.get("tags", ())}
    for path, verbs in document.get("paths", {}).items():
        for verb in _VERBS:
            if verb in verbs:
                shared = verbs.get("parameters", [])
                given = [*shared, *verbs[verb].get("parameters", ())]
                says = {**verbs[verb], "parameters": [followed(one, document) for one in given]}
                tag = next(iter(says.get("tags", ())), _UNTAGGED)
                groups.setdefault(tag, []).append(_Operation(verb, path, says))
    return {tag: found for tag, found in groups.items() if found}


def _contents(groups: Mapping[str, list[_Operation]]) -> Markup:
    lists = []
    for tag, found in groups.items():
        items = [
            element("li", element("a", _badge(one.verb), " ", one.path, href=f"#{quote(one.anchor)}")) for one in found
        ]
        lists.append(element("section", element("h2", tag), element("ul", *items)))
    return element("nav", *lists, aria_label="Operations")


def _group(tag: str, found: list[_Operation], document: Mapping[str, Any], site: str) -> Markup:
    said = next((one.get("description") for one in document.get("tags", ()) if one["name"] == tag), None)
    return element("section", element("h2", tag), _text(said), *(_operation(one, document, site) for one in found))


def _operation(one: _Operation, document: Mapping[str, Any], site: str) -> Markup:
    heading = element("a", _badge(one.verb), " ", element("code", one.path), href=f"#{quote(one.anchor)}")
    return element(
        "article",
        element("h3", heading),
        element("p", element("strong", one.says["summary"])) if one.says.get("summary") else None,
        _text(one.says.get("description")),
        element("p", "Who may call: ", _callers(one.says, document)),
        _parameters(one.says["parameters"]),
        _body(followed(one.says.get("requestBody", {}), document)),
        _answers({status: followed(answer, document) for status, answer in one.says.get("responses", {}).items()}),
        element("pre", element("code", curl_line(one.verb, one.path, one.says, document, site))),
        id=one.anchor,
    )


def _callers(says: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    wanted = says.get("security", document.get("security")) or [{}]
    if {} in wanted:
        return joined(("anybody",))
    ways = [joined((" and ".join(_scheme(name, document) for name in one),)) for one in wanted]
    return joined(("who authenticates with ", joined(ways, " or ")))


def _scheme(name: str, document: Mapping[str, Any]) -> str:
    scheme = document.get("components", {}).get("securitySchemes", {}).get(name, {})
    if scheme.get("type") == "apiKey":
        return f"{name} ({scheme.get('in')} {scheme.get('name')})"
    kind = {"bearer": "a bearer token", "basic": "name and password"}.get(scheme.get("scheme", "").lower())
    return f"{name} ({kind})" if kind else name


def _parameters(given: list[Mapping[str, Any]]) -> Markup | None:
    rows = [
        _row(
            joined((element("code", one["name"]), " ", element("small", one["in"]))),
            bool(one.get("required")),
            one.get("schema", True),
            one.get("description"),
        )
        for one in given
    ]
    return _table(("Parameter", "Type", ""), rows) if rows else None


def _body(body: Mapping[str, Any]) -> Markup | None:
    said = [
        joined((type_of(described.get("schema", True)), element("small", f" {media_type}")))
        for media_type, described in body.get("content", {}).items()
    ]
    return element("p", "Body: ", joined(said, " or ")) if said else None


def _answers(answers: Mapping[str, Any]) -> Markup | None:
    rows = []
    for status, answer in answers.items():
        schemas = [type_of(described.get("schema", True)) for described in answer.get("content", {}).values()]
        cells = (element("code", status), joined(schemas, " or "), text_of(answer.get("description", "")))
        rows.append(element("tr", *(element("td", cell) for cell in cells)))
    return _table(("Answer", "Body", ""), rows) if rows else None


def _schemas(document: Mapping[str, Any]) -> Markup | None:
    schemas = document.get("components", {}).get("schemas", {})
    if not schemas:
        return None
    return element("section", element("h2", "Schemas"), *(_schema(name, schema) for name, schema in schemas.items()))


def _schema(name: str, schema: Any) -> Markup:
    members = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    required = schema.get("required", ()) if members else ()
    rows = [
        _row(
            element("code", key),
            key in required,
            member,
            member.get("description") if isinstance(member, Mapping) else None,
        )
        for key, member in members.items()
    ]
    return element(
        "article",
        element("h3", element("a", name, href=f"#schema-{quote(name)}")),
        _text(schema.get("description") if isinstance(schema, Mapping) else None),
        _table(("Field", "Type", ""), rows) if rows else element("p", type_of(schema)),
        id=f"schema-{name}",
    )


def _row(name: Markup, required: bool, schema: Any, description: str | None) -> Markup:  # noqa: FBT001  private
    default = schema.get("default") if isinstance(schema, Mapping) else None
    return element(
        "tr",
        element("td", name, element("em", " required") if required else None),
        element("td", type_of(schema)),
        element(
            "td",
            text_of(description or ""),
            element("small", f" default {in_json(default)}") if default is not None else None,
        ),
    )


def _table(heads: tuple[str, ...], rows: list[Markup]) -> Markup:
    head = element("thead", element("tr", *(element("th", text, scope="col") for text in heads)))
    return element("div", element("table", head, element("tbody", *rows)), class_="wide")


def _badge(verb: str) -> Markup:
    return element("span", verb.upper(), class_=f"verb {verb}")


def _text(description: str | None) -> Markup | None:
    return element("p", text_of(description), class_="text") if description and description.strip() else None
