"""The import path of middleware that existing users know."""

from lightapi.middleware import CORSMiddleware, Middleware

__all__ = ["CORSMiddleware", "Middleware"]
