"""The hosts: ASGI and WSGI servers on one side, the pipeline on the other."""
