"""``lightapi run``: serve an app."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lightapi.cli.output import show
from lightapi.cli.reload import serve_reloading
from lightapi.cli.target import TARGET, is_yaml, load
from lightapi.exceptions import ConfigurationError
from lightapi.running import address, end_quietly, log_level, summary

__all__ = ["run"]

_SERVED = "lightapi.cli.target:served"


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    if options.config and options.target:
        raise ConfigurationError(f"TARGET {options.target!r} and --config {options.config!r} given; allowed: one")
    if options.config and not is_yaml(options.config):
        raise ConfigurationError(f"--config {options.config!r} given; allowed: a .yaml file")
    if options.reload and options.workers > 1:
        raise ConfigurationError("--reload and --workers given; allowed: one")
    app, name = load(options.config or options.target)
    if not options.reload and options.workers == 1:
        app.run(host=options.host, port=options.port, debug=options.debug)
        return 0
    app.build_app()
    host, port = address(options.host, options.port)
    show(summary(app, host, port, debug=options.debug, reload=options.reload))
    os.environ[TARGET] = name
    if options.reload:
        files = [Path(name)] if is_yaml(name) else []
        serve_reloading(_SERVED, files, host=host, port=port, log_level=log_level(debug=options.debug))
    else:
        import uvicorn

        end_quietly()
        uvicorn.run(
            _SERVED,
            factory=True,
            workers=options.workers,
            host=host,
            port=port,
            log_level=log_level(debug=options.debug),
        )
    return 0
