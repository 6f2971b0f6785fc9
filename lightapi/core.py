"""The import path of middleware that existing users know."""

from lightapi.middleware import Middleware

__all__ = ["Middleware"]
