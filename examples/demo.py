"""One class is the table, the schema and the API: run `python examples/demo.py` and open http://localhost:8000/books."""

from __future__ import annotations

import os

from sqlalchemy import create_engine

from lightapi import Field, LightApi, RestEndpoint


class BookEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
    author: str = Field(min_length=1)


engine = create_engine("sqlite:///books.db")
app = LightApi(engine=engine)
app.register({"/books": BookEndpoint})

if __name__ == "__main__":
    app.run(port=int(os.environ.get("LIGHTAPI_PORT", "8000")))
