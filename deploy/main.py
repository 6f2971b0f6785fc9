"""The application of the image: put your own main.py in its place. The database is LIGHTAPI_DATABASE_URL."""

from __future__ import annotations

from lightapi import Field, LightApi, RestEndpoint


class BookEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
    author: str = Field(min_length=1)


app = LightApi()
app.register({"/books": BookEndpoint})
