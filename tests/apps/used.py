"""An application that has talked to its database when it is loaded: its engine holds open connections."""

from __future__ import annotations

import os

from sqlalchemy import create_engine, select

from lightapi import LightApi, col
from tests.apps.main import ENDPOINTS, BookEndpoint

engine = create_engine(os.environ["LIGHTAPI_DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"), pool_size=4)
app = LightApi(engine=engine)
app.register(ENDPOINTS)
application = app.build_wsgi_app()

connections = [engine.connect() for _ in range(4)]
for connection in connections:
    connection.execute(select(col(BookEndpoint.title))).all()
for connection in connections:
    connection.close()
