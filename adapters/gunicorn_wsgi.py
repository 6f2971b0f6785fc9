"""Serve an application under gunicorn: `gunicorn -c deploy/gunicorn.conf.py --pythonpath adapters gunicorn_wsgi:app`.

Put your own classes in place of the example. The object is a WSGI and an ASGI application at once, so that
GUNICORN_WORKER_CLASS=asgi serves the same file; `pip install "lightapi[wsgi]"` brings gunicorn.
"""

from __future__ import annotations

import os

from lightapi import Field, LightApi, RestEndpoint


class BookEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
    author: str = Field(min_length=1)


app = LightApi(database_url=os.environ.get("LIGHTAPI_DATABASE_URL", "sqlite:///books.db"))
app.register({"/books": BookEndpoint})
# What is wrong with a class stops the server here, before it takes the first request.
app.build_app()
