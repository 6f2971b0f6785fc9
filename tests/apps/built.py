"""The application of main.py, built when it is loaded: its tables are created before the first request.

All workers build at the same moment: each waits in APP_MEETING until APP_WORKERS of them have come.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.apps.main import app

meeting = Path(os.environ["APP_MEETING"])
(meeting / str(os.getpid())).touch()
while len([*meeting.iterdir()]) < int(os.environ["APP_WORKERS"]):
    time.sleep(0.001)
application = app.build_wsgi_app()
