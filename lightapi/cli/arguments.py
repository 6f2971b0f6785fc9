"""The arguments of every command, and what ``--help`` says about them."""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from lightapi.cli import check, config, openapi, routes, run, serve, token
from lightapi.exceptions import nearest

__all__ = ["parser"]

Run = Callable[[argparse.Namespace], int]

_STATUSES = """
exit status:
  0    done
  1    failed at run time: a port in use, a file that can't be written
  2    wrong usage or configuration
  130  interrupted
"""

_TARGET = """\
TARGET is module:app, a module, a .py file (or file.py:app), or a YAML file. Without it: the file that LIGHTAPI_CONFIG
names, else the app in app.py, main.py or lightapi.yaml of this folder.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; ``run`` in its result is the function of the command."""
    root = _Parser(
        prog="lightapi",
        allow_abbrev=False,
        description="Run, look at and check a LightAPI app, or serve a database that is there already.",
        epilog=(
            "examples:\n  lightapi run\n  lightapi run main:app --reload\n"
            "  lightapi serve sqlite:///shop.db --read-only\n"
            f"{_STATUSES}\n'lightapi COMMAND --help' shows more."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    for add in (_run, _serve, _routes, _openapi, _check, _config, _token):
        add(commands)
    return root


class _Parser(argparse.ArgumentParser):
    """One that says what was probably meant, each command for its own options."""

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  it has overloads
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Parse; an argument that is not known is an error of the command that got it."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            near = nearest(unknown[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """End with the message, and the nearest of the choices where one was wrong."""
        wrong = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)$", message)
        near = nearest(wrong[1], [each.strip("'") for each in wrong[2].split(", ")]) if wrong else ""
        super().error(message + near)


class _Version(argparse.Action):
    """Print the version: looked up only when somebody asks, because that takes its time."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        try:
            version = importlib.metadata.version("lightapi")
        except importlib.metadata.PackageNotFoundError:
            version = "(not installed)"
        sys.stdout.write(f"lightapi {version}\n")
        parser.exit()


def _command(
    commands: Any, name: str, text: str, examples: Sequence[str], run: Run, *, target: bool = False
) -> argparse.ArgumentParser:
    """Add a command; ``target`` says that it is about an app."""
    shown = "".join(f"  {example}\n" for example in examples)
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        allow_abbrev=False,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.\n{_TARGET if target else ''}",
        epilog=f"examples:\n{shown}{_STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    if target:
        command.add_argument("target", metavar="TARGET", nargs="?", help="the app (see above)")
    return command


def _listening(command: argparse.ArgumentParser, host: str) -> None:
    command.add_argument("--host", help=f"where to listen (default: {host})")
    command.add_argument("--port", type=_port, help="default: LIGHTAPI_PORT, else 8000")
    command.add_argument("--debug", action="store_true", help="log at debug level")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} given; allowed: 0 to 65535")
    return int(text)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} given; allowed: a whole number, 1 or more")
    return int(text)


def _run(commands: Any) -> None:
    examples = ("lightapi run", "lightapi run main:app --port 9000", "lightapi run lightapi.yaml --reload")
    command = _command(commands, "run", "serve an app", examples, run.run, target=True)
    _listening(command, "LIGHTAPI_HOST, else 127.0.0.1")
    command.add_argument("--reload", action="store_true", help="start again when a .py or YAML file changes")
    command.add_argument("--workers", type=_number, default=1, help="processes that serve (default: 1)")
    command.add_argument("--config", metavar="FILE", help="a YAML file: the same as TARGET")


def _serve(commands: Any) -> None:
    examples = (
        "lightapi serve shop.db",
        "lightapi serve postgresql://me@localhost/shop --read-only",
        "lightapi serve shop.db --include 'order*' --exclude order_totals",
        "LIGHTAPI_DATABASE_URL=postgresql://me:secret@localhost/shop lightapi serve",
    )
    command = _command(commands, "serve", "serve every table of a database that is there already", examples, serve.run)
    command.add_argument(
        "database", metavar="URL", nargs="?", help="a URL, or a SQLite file (default: LIGHTAPI_DATABASE_URL)"
    )
    command.add_argument("--read-only", action="store_true", help="answer nothing but GET")
    command.add_argument(
        "--include", metavar="NAME", action="append", help="only these tables: a name or a pattern, may be repeated"
    )
    command.add_argument(
        "--exclude", metavar="NAME", action="append", help="not these tables: a name or a pattern, may be repeated"
    )
    command.add_argument("--schema", action="append", help="the schema to serve, may be repeated")
    _listening(command, "127.0.0.1: only this machine")


def _routes(commands: Any) -> None:
    examples = ("lightapi routes", "lightapi routes main:app --json")
    command = _command(
        commands, "routes", "show every path: verbs, who may call, cache, filters", examples, routes.run, target=True
    )
    command.add_argument("--json", action="store_true", help="as JSON")


def _openapi(commands: Any) -> None:
    examples = ("lightapi openapi", "lightapi openapi main:app -o openapi.yaml", "lightapi openapi --format yaml")
    command = _command(commands, "openapi", "write the OpenAPI document of an app", examples, openapi.run, target=True)
    command.add_argument("-o", "--output", metavar="FILE", help="default: standard output")
    command.add_argument("--format", choices=("json", "yaml"), help="default: from the suffix of FILE, else json")


def _check(commands: Any) -> None:
    examples = ("lightapi check", "lightapi check main:app --database")
    text = "build an app without serving it, and show its problems and warnings; makes no table"
    command = _command(commands, "check", text, examples, check.run, target=True)
    command.add_argument(
        "--database",
        action="store_true",
        help="compare with the database, too: missing tables to refer to, orderings without an index",
    )


def _config(commands: Any) -> None:
    checking, describing = "lightapi config check lightapi.yaml", "lightapi config schema > lightapi.schema.json"
    group = commands.add_parser(
        "config",
        allow_abbrev=False,
        help="check YAML files, and describe them to editors",
        description="Check YAML files, and describe them to editors.",
        epilog=f"examples:\n  {checking}\n  {describing}\n{_STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = group.add_subparsers(metavar="COMMAND", required=True)
    _command(inner, "check", "show every problem of a YAML file", [checking], config.check).add_argument(
        "file", metavar="FILE"
    )
    _command(inner, "schema", "print the JSON Schema of YAML files", [describing], config.schema)


def _token(commands: Any) -> None:
    examples = (
        "lightapi token --sub 1",
        """lightapi token --claims '{"sub": "1", "is_admin": true}' --expires 60""",
        'curl -H "Authorization: Bearer $(lightapi token --sub 1)" http://127.0.0.1:8000/books',
    )
    command = _command(
        commands, "token", "print a JWT as the login route issues them, to try things out", examples, token.run
    )
    subject = command.add_mutually_exclusive_group()
    subject.add_argument("--sub", metavar="ID", help="the user's id")
    subject.add_argument("--claims", metavar="JSON", help="the user's payload, an object")
    command.add_argument("--expires", metavar="SECONDS", type=_number, default=3600, help="default: 3600")
    command.add_argument(
        "--secret-from-env",
        metavar="NAME",
        default="LIGHTAPI_JWT_SECRET",
        help="the environment variable that holds the secret (default: LIGHTAPI_JWT_SECRET)",
    )
