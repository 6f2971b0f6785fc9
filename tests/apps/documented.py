"""An API with a little of everything: as it is, and mounted under /api on ASGI and on WSGI.

With APP_HIDES_SWAGGER_UI in the environment the package that the extra ``docs`` installs cannot be found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from lightapi import LightApi
from tests.support.rich import MAPPING, login


class _Finder(PathFinder):
    """Finds everything but Swagger UI."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if fullname == "flask_swagger_ui" else PathFinder.find_spec(fullname, path, target)


if os.environ.get("APP_HIDES_SWAGGER_UI"):
    sys.meta_path[:] = [_Finder if finder is PathFinder else finder for finder in sys.meta_path]

app = LightApi(title="Things <& more>", description="All that there is.", login_validator=login)
app.register(MAPPING)
mounted = Starlette(routes=[Mount("/api", app=app)])
mounted_wsgi: Any = DispatcherMiddleware(NotFound(), {"/api": app})
