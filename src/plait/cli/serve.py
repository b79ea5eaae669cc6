"""`plait serve`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from plait.cli.shared import code_argument, print_json

if TYPE_CHECKING:
    from plait.serving.limits import Limits

HELP = "answer over HTTP and WebSocket: files, tensors, live sessions"
ORDER = 84
EXAMPLES = (
    "plait serve runs/mood",
    "plait serve mood=runs/mood@1 mood=runs/mood2@2 --sessions live/ --token-file token.txt --host 0.0.0.0",
    "plait serve runs/mood --shadow mood=runs/next --limit sessions=20 --limit idle=60",
)

TOKEN = "PLAIT_TOKEN"
"""Environment variable: a command line can be read by every user of a machine."""


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or NAME=FOLDER@VERSION")
    p.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)")
    p.add_argument("--port", type=int, default=8000, help="0: any that is free (default: 8000)")
    p.add_argument("--token-file", metavar="FILE", help=f"a file with the token that clients must know (or {TOKEN})")
    p.add_argument(
        "--sessions", metavar="FOLDER", help="where live sessions are saved, so that they outlive the server"
    )
    p.add_argument(
        "--save-every", type=float, default=5.0, metavar="S", help="seconds between two savings (default: 5)"
    )
    p.add_argument("--shadow", action="append", default=[], metavar="NAME=FOLDER",
                   help="a run that gets the requests of the model NAME too; its answers are compared")  # fmt: skip
    p.add_argument(
        "--limit", action="append", default=[], metavar="NAME=N", help="a limit (docs/serving.md lists them)"
    )
    p.add_argument("--page", metavar="FILE", help="a page of your own, to serve at /app")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="threads of each step (default: 1)")
    code_argument(p)


def run(args: argparse.Namespace) -> int:
    """Answer over HTTP and WebSocket until it is terminated; then finish, save sessions and stop.

    Prints its address once it listens.
    """
    from plait.core.errors import need

    for module in ("fastapi", "uvicorn", "websockets", "prometheus_client", "multipart"):
        need(module, "serve", "plait serve")
    from plait.serving.served import source_of
    from plait.serving.server import serve

    token = _token(args.token_file)
    if args.host not in ("127.0.0.1", "localhost", "::1") and not token:
        print("warning: every machine that reaches this one may ask and listen. Set --token-file.", file=sys.stderr)
    serve(
        [source_of(text) for text in args.runs],
        shadows=[source_of(text) for text in args.shadow],
        host=args.host,
        port=args.port,
        token=token,
        sessions=args.sessions,
        save_every=args.save_every,
        limits=_limits(args.limit),
        page=args.page,
        threads=args.threads,
        allow_code=args.allow_code,
        told=lambda address: print_json({"address": address}) if args.json else print(f"listening on {address}"),
    )
    return 0


def _token(path: str | None) -> str:
    from plait.core.errors import ConfigError

    if path is None:
        return os.environ.get(TOKEN, "")
    token = Path(path).read_text(encoding="utf-8").strip()
    if not token:
        raise ConfigError(f"{path}: is empty; expected a token.")
    return token


def _limits(given: list[str]) -> Limits:
    """The limits of NAME=N."""
    from dataclasses import fields

    from plait.core.errors import ConfigError
    from plait.serving.limits import Limits

    kinds = {f.name: int if f.type == "int" else float for f in fields(Limits)}
    found: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            found[name] = kinds[name](number)
        except (KeyError, ValueError) as error:
            raise ConfigError(f"--limit {text}: expected NAME=N, of {', '.join(kinds)}.") from error
    return Limits(**found)  # type: ignore[arg-type]
