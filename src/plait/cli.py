"""The command line: each command is one public function, here only called and printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from plait.errors import PlaitError

__all__ = ["main"]

CACHE = ".plait-cache"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 when done, 1 for problems in the data, 2 when asked wrongly, 130 when interrupted."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except PlaitError as error:
        _fail(args, list(error.problems), type(error).__name__)
        return 2 if type(error).__name__ == "ConfigError" else 1
    except KeyboardInterrupt:
        _fail(
            args,
            ["interrupted; what is finished is kept. The same command goes on from there."],
            "Interrupted",
        )
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _fail(args: argparse.Namespace, problems: list[str], kind: str) -> None:
    if args.json:
        _json({"error": kind, "problems": problems})
    for problem in problems:
        print(f"{kind}: {problem}", file=sys.stderr)


def _json(thing: Any) -> None:
    print(json.dumps(thing, ensure_ascii=False, default=str))


def _say(args: argparse.Namespace, thing: Any, lines: Sequence[str]) -> None:
    if args.json:
        _json(thing)
    else:
        for line in lines:
            print(line)


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="plait", description=__doc__.split("\n")[0] if __doc__ else None)
    top.description = "Braid streams that tick at different rates into one model."
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, help_text, arguments, run in _COMMANDS:
        one = commands.add_parser(name, help=help_text, description=run.__doc__)
        arguments(one)
        one.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        one.set_defaults(run=run)
    return top


def _recipe_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("recipe", help="a YAML recipe")
    p.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as train.epochs=5")


def _cache_argument(p: argparse.ArgumentParser) -> None:
    p.add_argument("--cache", default=CACHE, help=f"folder of prepared features (default: {CACHE})")
    p.add_argument("--jobs", type=int, default=1, help="processes to use (default: 1)")


def _import_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("folder", help="a folder of raw recordings")
    p.add_argument("--out", help="the manifest to write (default: FOLDER/manifest.jsonl)")
    p.add_argument("--options", help="a YAML file with import options: match, group, streams, labels, rows, skip")
    p.add_argument("--overwrite", action="store_true", help="replace a manifest that is there")


def _import(args: argparse.Namespace) -> int:
    """Make a manifest from files by naming convention, and say what was understood and what was left out."""
    from plait.streams.importing import import_folder

    options = _yaml(args.options) if args.options else None
    report = import_folder(args.folder, out=args.out, options=options, overwrite=args.overwrite)
    _say(args, report.to_json(), report.lines())
    return 0


def _yaml(path: str) -> Any:
    import yaml

    from plait.errors import ConfigError

    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error}).") from error


def _check_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="a manifest, or a recipe (YAML) whose corpus, task and split are checked")
    p.add_argument("--deep", action="store_true", help="read all values too")
    p.add_argument("--allow-outside", action="store_true", help="let paths leave the manifest's folder")


def _check(args: argparse.Namespace) -> int:
    """Validate manifest, files, clocks, labels and splits, without torch; exit code 1 if anything is wrong."""
    from plait.errors import ConfigError
    from plait.recipe import load_recipe
    from plait.streams.check import check_corpus

    manifest, recipe, outside = args.manifest, None, args.allow_outside
    if Path(manifest).suffix in (".yaml", ".yml"):
        loaded = load_recipe(manifest)
        if not isinstance(loaded.corpus, str):
            raise ConfigError(f"{manifest}: its corpus is a raw folder. Check what `plait import` makes of it.")
        task = loaded.task if isinstance(loaded.task, dict) else {"name": loaded.task}
        recipe = {"task": task, "split": loaded.split} if loaded.split else {"task": task}
        manifest, outside = loaded.corpus, outside or loaded.allow_outside
    report = check_corpus(manifest, allow_outside=outside, deep=args.deep, recipe=recipe)
    _say(args, report.to_json(), report.lines())
    return 1 if report.problems else 0


def _sync_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="the manifest whose clocks disagree")
    p.add_argument("--out", help="the manifest to write (default: NAME.synced.jsonl beside it)")
    p.add_argument("--reference", nargs="*", help="stream(s) whose device keeps the time (default: the most frequent)")
    p.add_argument("--allow-outside", action="store_true", help="let paths leave the manifest's folder")
    _cache_argument(p)


def _sync(args: argparse.Namespace) -> int:
    """Estimate offset and drift between devices from their signals; write corrected clocks to a new manifest."""
    from plait.streams.corpus import Corpus
    from plait.sync import synchronise, write_synced

    corpus = Corpus(args.manifest, allow_outside=args.allow_outside)
    with _progress(args, "sync") as progress:
        report = synchronise(corpus, reference=args.reference, progress=progress, workers=args.jobs)
    out = Path(args.out) if args.out else corpus.path.with_suffix(".synced.jsonl")
    write_synced(corpus, report, out)
    _say(args, {"manifest": str(out), **report.to_json()}, [*report.lines(), f"wrote {out}"])
    return 0


def _prepare_arguments(p: argparse.ArgumentParser) -> None:
    _recipe_arguments(p)
    p.add_argument("--out", help="the run's folder (default: runs/NAME)")
    _cache_argument(p)


def _load(args: argparse.Namespace) -> tuple[Any, Path]:
    from plait.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.overrides)
    return recipe, Path(args.out) if getattr(args, "out", None) else Path("runs") / recipe.name


def _prepare(args: argparse.Namespace) -> int:
    """Compute the features of a recipe into the cache; interrupt it when you like, what is done stays."""
    from plait.features.store import Store
    from plait.training.experiment import Experiment, open_corpus

    recipe, out = _load(args)
    experiment = Experiment.of(recipe, open_corpus(recipe, out))
    with _progress(args, "prepare") as progress:
        features = experiment.prepare(Store(args.cache), jobs=args.jobs, progress=progress)
    counts = {m: p.report() for m, p in features.prepared.items()}
    lines = [f"{m}: {c['computed']} computed, {c['cached']} already there" for m, c in counts.items()]
    notes = [
        f"  {m}: {n} {what}" for m, c in counts.items() for ones in c["notes"].values() for what, n in ones.items()
    ]
    _say(args, {"features": counts}, lines + notes)
    return 0


def _fit_arguments(p: argparse.ArgumentParser) -> None:
    _prepare_arguments(p)
    p.add_argument("--overwrite", action="store_true", help="start anew where another recipe's run is in the way")


def _fit(args: argparse.Namespace) -> int:
    """Train a recipe: every seed and fold. The same command resumes a run that was cut off."""
    from plait.training.fit import fit

    recipe, out = _load(args)
    with _progress(args, "prepare") as progress:
        run = fit(
            recipe,
            out,
            cache=args.cache,
            jobs=args.jobs,
            overwrite=args.overwrite,
            quiet=args.json,
            progress=progress,
        )
    members = {m.name: run.done(m) for m in run.members}
    facts = {name: {k: d[k] for k in ("seconds", "parameters")} for name, d in members.items()}
    lines = [f"{name}: {f['parameters']:,} parameters, {f['seconds']:.0f} s" for name, f in facts.items()]
    _say(args, {"run": str(out), "members": facts}, [*lines, f"wrote {out}", f"next: plait evaluate {out}"])
    return 0


def _evaluate_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("run_folder", metavar="RUN", help="a run's folder")
    p.add_argument("--corpus", help="the manifest of another corpus, whose streams may be fewer")
    p.add_argument("--out", help="folder for evaluation.json and report.html (default: the run's)")
    _cache_argument(p)


def _evaluate(args: argparse.Namespace) -> int:
    """Score every subset of modalities on the test part (or another corpus), write JSON and report.html."""
    from plait.evaluation.evaluate import evaluate
    from plait.evaluation.report import save_evaluation
    from plait.training.run import Run

    run = Run(args.run_folder)
    with _progress(args, "evaluate") as progress:
        result = evaluate(run, cache=args.cache, corpus=args.corpus, progress=progress)
    out = Path(args.out) if args.out else run.folder
    if args.corpus and not args.out:
        out = run.folder / f"on-{Path(args.corpus).resolve().parent.name}"
    report = save_evaluation(result, out)
    if args.json:
        _json({**result, "report": str(report)})
    else:
        _print_table(result)
        print(f"report: {report}")
    return 0


def _print_table(result: dict[str, Any]) -> None:
    from rich.console import Console

    from plait.evaluation.table import subset_table

    Console().print(subset_table(result))


def _predict_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("run_folder", metavar="RUN", help="a run's folder")
    p.add_argument("files", nargs="+", help="raw files or folders of recordings, with any stream absent; or a manifest")
    p.add_argument("--segment", nargs=2, type=float, action="append", default=[], metavar=("START", "STOP"),
                   help="seconds to answer for; may be repeated")  # fmt: skip
    p.add_argument("--member", help="which of the run's models, such as seed0 (default: the first)")
    _cache_argument(p)


def _predict(args: argparse.Namespace) -> int:
    """Answer for raw files, prepared as in training."""
    from plait.evaluation.predict import predict
    from plait.training.run import Run

    segments = [(a, b) for a, b in args.segment]
    rows = predict(Run(args.run_folder), args.files, cache=args.cache, segments=segments, member=args.member)
    _say(args, {"predictions": rows}, [_prediction_line(r) for r in rows])
    return 0


def _prediction_line(row: dict[str, Any]) -> str:
    answer = f"{row['label']} ({row['confidence']:.0%})" if "label" in row else f"{row['value']:.3f}"
    missing = f"; without {', '.join(row['missing'])}" if row["missing"] else ""
    return f"{row['recording']} {row['start']:.2f}-{row['stop']:.2f} s: {answer} from {', '.join(row['used'])}{missing}"


def _show(args: argparse.Namespace) -> int:
    """Print a recipe with every default written out."""
    from plait.recipe import dump_recipe
    from plait.training.full import full_recipe

    recipe, _ = _load(args)
    full = full_recipe(recipe)
    _say(args, full.model_dump(by_alias=True, mode="json"), [dump_recipe(full).rstrip()])
    return 0


def _list_arguments(p: argparse.ArgumentParser) -> None:
    from plait.catalogue import SORTS

    p.add_argument("what", nargs="?", choices=sorted(SORTS), help="one sort of part (default: all)")


def _list(args: argparse.Namespace) -> int:
    """List the parts that a recipe can name, and their options."""
    from plait.catalogue import catalogue

    found = catalogue(args.what)
    lines = []
    for what, ones in found.items():
        lines.append(f"{what}:")
        for n, one in ones.items():
            options = ", ".join(f"{k}={v!r}" for k, v in one["options"].items())
            lines += [f"  {n}: {one['what']}"] + ([f"      {options}"] if options else [])
    _say(args, found, lines)
    return 0


def _demo_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("--out", default="demo", help="folder for corpus, run and report (default: demo)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--jobs", type=int, default=2, help="processes to use (default: 2)")
    p.add_argument("--recordings", type=int, default=60)
    p.add_argument("--epochs", type=int, help="of training (default: the recipe's)")


def _demo(args: argparse.Namespace) -> int:
    """Make a small corpus of real media whose device clocks disagree; import, check, sync, fit and evaluate it."""
    from plait.demo import demo

    result = demo(
        args.out,
        seed=args.seed,
        jobs=args.jobs,
        recordings=args.recordings,
        epochs=args.epochs,
        quiet=args.json,
    )
    if args.json:
        _json(result)
    return 0


def _progress(args: argparse.Namespace, what: str) -> Any:
    from plait.progress import bar

    return bar(what, quiet=args.json)


_Command = tuple[str, str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]

_COMMANDS: tuple[_Command, ...] = (
    ("demo", "the whole way on a small made-up corpus of real media files", _demo_arguments, _demo),
    ("import", "make a manifest from a folder of raw recordings", _import_arguments, _import),
    ("check", "validate a manifest, its files, clocks, labels and splits", _check_arguments, _check),
    ("sync", "estimate and correct clocks that disagree", _sync_arguments, _sync),
    ("prepare", "compute the features of a recipe", _prepare_arguments, _prepare),
    ("fit", "train a recipe", _fit_arguments, _fit),
    ("evaluate", "score a run for every subset of its modalities", _evaluate_arguments, _evaluate),
    ("predict", "answer for raw files", _predict_arguments, _predict),
    ("show", "print a recipe with every default", _recipe_arguments, _show),
    ("list", "list the parts that a recipe can name", _list_arguments, _list),
)


if __name__ == "__main__":
    sys.exit(main())
