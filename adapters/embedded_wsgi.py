"""Mount an API under /api inside a WSGI program: `gunicorn --pythonpath adapters embedded_wsgi:application`.

`python adapters/embedded_wsgi.py` serves the same with the standard library, for a look. In a Flask program the last
line becomes `flask_app.wsgi_app = below("/api", api.wsgi, flask_app.wsgi_app)`, in Django's wsgi.py
`application = below("/api", api.wsgi, get_wsgi_application())`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import make_server

from lightapi import Field, LightApi, RestEndpoint

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class BookEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
    author: str = Field(min_length=1)


api = LightApi(database_url=os.environ.get("LIGHTAPI_DATABASE_URL", "sqlite:///books.db"))
api.register({"/books": BookEndpoint})


def site(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer for the program that was there before."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"the site itself\n"]


def below(prefix: str, mounted: Application, rest: Application) -> Application:
    """Send the paths below a prefix to one application and all others to another."""

    def dispatch(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if path != prefix and not path.startswith(f"{prefix}/"):
            return rest(environ, start_response)
        # PEP 3333: what was used to find the application moves from PATH_INFO to SCRIPT_NAME; links are made of it.
        inside = {**environ, "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix, "PATH_INFO": path[len(prefix) :]}
        return mounted(inside, start_response)

    return dispatch


application = below("/api", api.wsgi, site)


if __name__ == "__main__":
    port = int(os.environ.get("LIGHTAPI_PORT", "8000"))
    with make_server(os.environ.get("LIGHTAPI_HOST", "127.0.0.1"), port, application) as server:
        print(f"http://127.0.0.1:{port}/api/books", flush=True)
        server.serve_forever()
