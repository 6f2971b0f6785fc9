"""LightAPI: one annotated class is the table, the schema and the REST endpoint."""

from lightapi.app import LightApi
from lightapi.auth import (
    AllowAny,
    BaseAuthentication,
    BasePermission,
    BasicAuthentication,
    IsAdminUser,
    IsAuthenticated,
    JWTAuthentication,
)
from lightapi.columns import col
from lightapi.config import Authentication, Cache, Filtering, Pagination, Serializer
from lightapi.core import CORSMiddleware, Middleware
from lightapi.endpoint import RestEndpoint
from lightapi.exceptions import (
    ApiError,
    AuthenticationFailed,
    ConfigurationError,
    Conflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
    ServiceUnavailable,
    TooManyRequests,
)
from lightapi.fields import Field
from lightapi.filters import BaseFilter, FieldFilter, OrderingFilter, SearchFilter
from lightapi.methods import HttpMethod
from lightapi.session import get_async_session, get_sync_session

__all__ = [
    "AllowAny",
    "ApiError",
    "Authentication",
    "AuthenticationFailed",
    "BaseAuthentication",
    "BaseFilter",
    "BasePermission",
    "BasicAuthentication",
    "CORSMiddleware",
    "Cache",
    "ConfigurationError",
    "Conflict",
    "Field",
    "FieldFilter",
    "Filtering",
    "HttpMethod",
    "InvalidInput",
    "IsAdminUser",
    "IsAuthenticated",
    "JWTAuthentication",
    "LightApi",
    "Middleware",
    "NotFound",
    "OrderingFilter",
    "Pagination",
    "PermissionDenied",
    "RestEndpoint",
    "SearchFilter",
    "Serializer",
    "ServiceUnavailable",
    "TooManyRequests",
    "col",
    "get_async_session",
    "get_sync_session",
]
