"""`plait explain`."""

from __future__ import annotations

import argparse

from plait.cli import evaluate

HELP = "score a run, and show on what its answers rest"
ORDER = 72
EXAMPLES = ("plait explain runs/mood", "plait explain runs/mood --corpus other/manifest.jsonl --json")

arguments = evaluate.arguments


def run(args: argparse.Namespace) -> int:
    """As `plait evaluate`, and with modalities exchanged between items: permutation scores and interactions."""
    return evaluate.evaluated(args, explain=True)
