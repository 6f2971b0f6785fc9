"""The shape of a file: every key, what it takes, and what it is for. Editors are told the same (``json_schema``)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from lightapi.config import ALGORITHMS
from lightapi.declarative.substitution import Substituted

__all__ = ["AuthenticationShape", "EndpointShape", "FieldShape", "FileShape", "MetaShape", "Shape"]


def _read(kind: Any) -> BeforeValidator:
    """Read what a variable holds as the number or boolean that is expected."""
    adapter = TypeAdapter(kind)

    def read(value: Any) -> Any:
        if not (isinstance(value, Substituted) and value.is_whole):
            return value
        try:
            return adapter.validate_python(str(value))
        except ValidationError:
            return value

    return BeforeValidator(read)


def _kind(value: Any) -> str:
    if isinstance(value, Substituted) and value.is_whole and value.lower() in ("true", "false"):
        return "boolean"
    if isinstance(value, BaseModel):  # as it is dumped again
        return "mapping"
    kinds = {bool: "boolean", list: "list", dict: "mapping"}
    return "text" if isinstance(value, str) else kinds.get(type(value), "nothing")


def _either(expected: str) -> Discriminator:
    """Choose among forms by the kind of the value; ``expected`` names them all."""
    return Discriminator(_kind, custom_error_type="either", custom_error_message=expected)


Boolean = Annotated[bool, _read(bool)]
# Limits stand before these: behind them, JSON Schema would not show them.
_WHOLE = _read(int)
_NUMBER = _read(float)
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Text], Field(min_length=1)]
# Written so that the regular expressions of editors mean the same: their \w knows ASCII only.
_NAME = r"[\p{L}_][\p{L}\p{M}\p{N}_]*"
_NAMES = rf"{_NAME}(\.{_NAME})*"
Dotted = Annotated[str, Field(pattern=rf"^{_NAMES}(:{_NAMES})?$")]
"""A name LightAPI has, or ``package.module:Name``."""
Verb = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Path = Annotated[str, Field(pattern="^/")]
Algorithm: TypeAlias = Literal[ALGORITHMS]  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]


Backend = Annotated[
    Annotated[Dotted, Tag("text")] | Annotated[list[Dotted], Tag("list"), Field(min_length=1)],
    _either("a backend, as in JWTAuthentication or package.module:Name, or a list of them"),
]


def key(description: str, alias: str | None = None) -> Any:
    """Describe a key that may be left out."""
    return Field(None, description=description, alias=alias)


class Shape(BaseModel):
    """A mapping with known keys only."""

    model_config = ConfigDict(
        strict=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=(), defer_build=True
    )


class VerbAuthenticationShape(Shape):
    """Who may call one verb; what is left out is as for the whole endpoint."""

    backend: Backend = key(
        "Who names the user: JWTAuthentication, BasicAuthentication or package.module:Name; or a list, tried in order."
    )
    permission: Text = key(
        "Who may: AllowAny, IsAuthenticated, IsAdminUser or package.module:Name, combined with & | ~ ( ).",
    )


class AuthenticationShape(Shape):
    """Who may call; what is left out is as in ``defaults``."""

    backend: Backend = key(
        "Who names the user: JWTAuthentication, BasicAuthentication or package.module:Name; or a list, tried in order."
    )
    permission: Annotated[
        Annotated[Text, Tag("text")] | Annotated[dict[Verb, Text], Tag("mapping"), Field(min_length=1)],
        _either("a permission, as in IsAuthenticated or package.module:Name, or a mapping of verbs to permissions"),
    ] = key(
        "Who may: AllowAny, IsAuthenticated, IsAdminUser or package.module:Name, combined with & | ~ ( ); "
        "or one per verb, a verb left out is denied.",
    )
    jwt_expiration: Annotated[int, Field(ge=1), _WHOLE] = key("Seconds that a token of the login routes is valid.")
    jwt_extra_claims: list[Text] = key("Claims that such a token carries beside sub; [] for all.")
    jwt_algorithm: Algorithm = key("How tokens are signed.")


class PaginationShape(Shape):
    """How lists are cut into pages."""

    style: Literal["page_number", "cursor", "limit_offset"] = key("?page=, ?cursor= or ?offset=.")
    page_size: Annotated[int, Field(ge=1, le=1_000_000), _WHOLE] = key("Rows on a page.")
    max_page_size: Annotated[int, Field(ge=1, le=1_000_000), _WHOLE] = key(
        "The most rows a client may ask for; without it, it may not ask."
    )
    count: Annotated[
        Annotated[Boolean, Tag("boolean")] | Annotated[Literal["capped", "estimate"], Tag("text")],
        _either("true, false, capped or estimate"),
    ] = key("How rows are counted: true, false, capped (up to 10,000) or estimate.")
    backwards: Boolean = key("Cursor pages carry previous, too.")


class FilteringShape(Shape):
    """What the query string of a list may ask for."""

    fields: Annotated[
        Annotated[Names, Tag("list")] | Annotated[dict[str, Names], Tag("mapping"), Field(min_length=1)],
        _either("a list, as in [price, price__gte], or a mapping, as in {price: [exact, gte]}"),
    ] = key("Filters: [price, price__gte], or {price: [exact, gte]}.")
    search: Names = key("Text fields that ?search= looks into.")
    ordering: Names = key("Fields that ?ordering= may name.")
    strict: Boolean = key("A parameter that nothing declares is a 422.")
    backends: Annotated[list[Dotted], Field(min_length=1)] = key(
        "FieldFilter, SearchFilter, OrderingFilter or package.module:Name; only those given act."
    )


class SerializerShape(Shape):
    """Which fields answers show."""

    fields: Names = key("Always; not together with read or write.")
    read: Names = key("For GET.")
    write: Names = key("For POST, PUT and PATCH.")


class CacheShape(Shape):
    """Keep the answers of GET in Redis."""

    ttl: Annotated[float, Field(gt=0), _NUMBER] = Field(description="Seconds that an answer is kept.")
    vary_on: list[Text] = key("The query parameters that count; default: all.")
    vary_headers: Names = key("Request headers that make different answers.")


class VerbShape(Shape):
    """One verb of ``methods``."""

    authentication: VerbAuthenticationShape = key("Overrides the endpoint's authentication for this verb, key by key.")


Reflect = Annotated[
    Annotated[Boolean, Tag("boolean")] | Annotated[Literal["partial"], Tag("text")], _either("true, false or partial")
]
Identifier = Annotated[str, Field(pattern=r"^\p{L}[\p{L}\p{M}\p{N}_]*$")]
"""The name of a class or a field: what begins with an underscore is no field in Python either."""


class MetaShape(Shape):
    """What a Python class says in ``class Meta``."""

    table: Text = key("The table's name; default: the class's name in lower case plus s.")
    schema_: Text = key("The database schema of the table.", alias="schema")
    primary_key: Annotated[
        Annotated[Text, Tag("text")] | Annotated[Names, Tag("list")], _either("a column name, or a list of them")
    ] = key("The key of a reflected view or table without one.")
    reflect: Reflect = key("true: the columns are the table's; partial: and the declared ones.")
    methods: Annotated[
        Annotated[list[Verb], Tag("list"), Field(min_length=1)]
        | Annotated[dict[Verb, VerbShape | None], Tag("mapping"), Field(min_length=1)],
        _either("a list of verbs, as in [GET, POST], or a mapping of verbs to {authentication: ...}"),
    ] = key("The verbs: [GET, POST], or {GET: , POST: {authentication: ...}}; default: all five.")
    authentication: AuthenticationShape = key("Who may call; overrides defaults.authentication key by key.")
    pagination: PaginationShape | None = key(
        "How lists are cut; overrides defaults.pagination key by key; null for no pages."
    )
    filtering: FilteringShape = key("What the query string of a list may ask for.")
    serializer: SerializerShape = key("Which fields answers show.")
    cache: CacheShape | None = key("Keep the answers of GET in Redis.")
    extra: Literal["ignore", "forbid"] = key("Unknown keys in a body: ignore, or forbid (422).")
    queryset_scope: Literal["list", "all"] = key("Whether queryset scopes lists only.")


class FieldShape(Shape):
    """One field: its type, its constraints, its column."""

    type: Text = key(
        "str, int, float, bool, datetime, date, time, timedelta, Decimal, UUID, bytes, list, dict, list[str], "
        "EmailStr, ... or package.module:Name.",
    )
    enum: Annotated[list[Any], Field(min_length=1)] = key("The values allowed, all text or all whole numbers.")
    optional: Boolean = key("May be null and left out.")
    default: Any = key("What a POST without the field stores.")
    min_length: Annotated[int, Field(ge=0), _WHOLE] = key("Least length.")
    max_length: Annotated[int, Field(ge=0), _WHOLE] = key("Greatest length.")
    pattern: Text = key("A regular expression that the text matches.")
    gt: Any = key("Greater than this.")
    ge: Any = key("Greater than or equal to this.")
    lt: Any = key("Less than this.")
    le: Any = key("Less than or equal to this.")
    multiple_of: Annotated[float, Field(gt=0), _NUMBER] = key("A multiple of this.")
    max_digits: Annotated[int, Field(ge=1), _WHOLE] = key("Most digits of a Decimal.")
    decimal_places: Annotated[int, Field(ge=0), _WHOLE] = key("Digits of a Decimal after the point.")
    strict: Boolean = key("Don't convert values of another type.")
    coerce_numbers_to_str: Boolean = key("Take a number where text is expected.")
    foreign_key: Text = key("table.column that the value refers to.")
    unique: Boolean = key("No two rows have the same value.")
    index: Boolean = key("The database keeps an index.")
    exclude: Boolean = key("Leave the field out of table and schemas.")
    server_default: Text = key("A default that the database fills in.")
    sa_type: Text = key("The column's SQLAlchemy type, as in BigInteger or Numeric(10, 2).")
    title: Text = key("A name for people.")
    description: Text = key("What it is, for the API's documentation.")
    examples: list[Any] = key("Examples for the API's documentation.")
    deprecated: Annotated[
        Annotated[Boolean, Tag("boolean")] | Annotated[Text, Tag("text")], _either("true, false or a text")
    ] = key("Tell readers of the documentation not to use it.")
    json_schema_extra: dict[str, Any] = key("More keys for the field's JSON Schema.")


class EndpointShape(Shape):
    """One route: fields that are described here, a table of the database, or a Python class."""

    route: Path = Field(description="Where it is: /books.")
    class_: Dotted = key("A RestEndpoint of yours, package.module:Name; beside it stands only route.", alias="class")
    name: Identifier = key("The class's name; default: made of the route.")
    description: Text = key("What it is, for the API's documentation.")
    fields: dict[Identifier, FieldShape] = key("The fields by name.")
    reflect: Reflect = key("As in meta.")
    table: Text = key("As in meta.")
    meta: MetaShape = key("What a Python class says in class Meta.")


class DatabaseShape(Shape):
    """The database."""

    url: Text = Field(description='A SQLAlchemy URL, for example "${DATABASE_URL}".')


class AuthShape(Shape):
    """The login routes."""

    auth_path: Path = key("Where they are.")
    login_validator: Dotted = key("package.module:function, given user name and password.")


class DefaultsShape(Shape):
    """What holds for every endpoint that says nothing else."""

    authentication: AuthenticationShape = key("Who may call.")
    pagination: PaginationShape = key("How lists are cut into pages.")


class LimiterShape(Shape):
    """The limit of failed logins."""

    requests_per_minute: Annotated[int, Field(ge=1), _WHOLE] = Field(
        description="Failed logins per minute, client and user name."
    )


class FileShape(Shape):
    """A LightAPI application."""

    database: DatabaseShape = key("The database; default: LIGHTAPI_DATABASE_URL.")
    endpoints: list[EndpointShape] = key("The routes.")
    defaults: DefaultsShape = key("What holds for every endpoint that says nothing else.")
    auth: AuthShape = key("The login routes.")
    middleware: list[Dotted] = key("CORSMiddleware or package.module:Name, in the order they see a request.")
    database_url: Text = key("As database.url.")
    auth_path: Path = key("As auth.auth_path.")
    login_validator: Dotted = key("As auth.login_validator.")
    middlewares: list[Dotted] = key("As middleware.")
    default_authentication: AuthenticationShape = key("As defaults.authentication.")
    default_pagination: PaginationShape = key("As defaults.pagination.")
    cors_origins: list[Text] = key('Origins whose pages may read answers, or ["*"].')
    cors_allow_credentials: Boolean = key("Whether with their cookies.")
    rate_limiter: Annotated[
        Annotated[Literal[False], Tag("boolean")]
        | Annotated[LimiterShape, Tag("mapping")]
        | Annotated[Dotted, Tag("text")],
        _either("{requests_per_minute: n}, false, or package.module:name"),
    ] = key("The limit of failed logins: {requests_per_minute: 10}, false, or package.module:name.")
    title: Text = key("Of the API, in its documentation.")
    version: Text = key("Of the API, in its documentation.")
    description: str = key("Of the API, in its documentation (CommonMark).")
    openapi_url: Path | None = key("Where the OpenAPI document is; null for nowhere.")
    docs_url: Path | None = key("Where the page for people is; null for nowhere.")
    base_url: str = key("Put before links, which are path-absolute without it.")
    max_body_size: Annotated[int, Field(ge=1), _WHOLE] = key("Bytes of a request body; more is 413.")
    database_timeout: Annotated[float, Field(gt=0), _NUMBER] = key("Seconds of database work per request; more is 503.")
    create_tables: Boolean = key("Create missing tables.")
    sqlite_foreign_keys: Boolean = key("Enforce them on SQLite.")
    mode: Literal["sync", "async"] = key("Asserts that the engine is so.")
    routes: Dotted = key("package.module:name of a list of Starlette routes.")
    asgi_middleware: Dotted = key("package.module:name of a list of Starlette Middleware.")
    lifespan: Dotted = key("package.module:name of a Starlette lifespan.")
