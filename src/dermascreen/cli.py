"""Every command: `dermascreen --help` lists them.

Exit codes: 0 success; 1 an error, named in one sentence on stderr, and nothing was done (by `reproduce`: or a number is
outside its interval); 2 the command line is not valid; 3 some photographs could not be predicted, and the others were;
130 Ctrl-C.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dermascreen.core.errors import InputError
from dermascreen.core.program import reported

if TYPE_CHECKING:
    from dermascreen.serving.bundle import Bundle

MODELS = "models"
SOME_FAILED = 3
LOCAL = "127.0.0.1"
PORT = 8501
UI_PORT = 5000
LAST_PORT = 65535
FEWEST_DRAWS = 100  # of fewer, the percentiles of 95 % are one or two draws
POOLED = Path("reports/pooled_predictions.csv")
ABLATION = Path("reports/ablation.csv")
DEMO = Path(".demo")
REPRODUCED = Path(".reproduced")


def main(arguments: Sequence[str] | None = None) -> None:
    wanted = _parser().parse_args(arguments)
    with reported(f"dermascreen {wanted.command}"):
        sys.exit(wanted.run(wanted))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "dermascreen",
        description="Use a trained model, compare models, and look at runs.",
        epilog=(__doc__ or "").partition("\n\n")[2],
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help_: str, run: object, *, uses_model: bool = True) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help_, description=f"{help_}.")
        made.set_defaults(run=run)
        if uses_model:
            made.add_argument(
                "--model", default=MODELS, metavar="MODEL",
                help="a folder as the pipeline leaves models/, or a registered model such as "
                "models:/dermascreen@champion (default: models)",
            )  # fmt: skip
        return made

    predict = command("predict", "Predict photographs", _predict)
    predict.epilog = parser.epilog
    predict.add_argument(
        "paths", nargs="+", metavar="PATH", help="a photograph, a folder, a pattern, or - for a list on standard input"
    )
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write one JSON object per line, one for each photograph")
    form.add_argument("--csv", action="store_true", help="write CSV")
    predict.add_argument("--point", metavar="NAME", help="the operating point (default: abstention, or high_recall)")
    predict.add_argument(
        "--verify", type=Path, metavar="KEY.pem",
        help="refuse a model whose files are not those that the owner of this public key signed",
    )  # fmt: skip
    predict.add_argument("--explain", metavar="DIR", type=Path, help="save maps of the evidence into a new folder")

    command(
        "register", "Register this project's model if it passes its gates, and promote it if it is better", _register,
        uses_model=False,
    ).add_argument(
        "--sign", type=Path, metavar="KEY.pem", help="sign its files with this private elliptic-curve key"
    )  # fmt: skip
    command("rollback", "Make the previous champion champion again", _rollback, uses_model=False).add_argument(
        "--to", type=int, metavar="VERSION", help="a version (default: the previous champion)"
    )

    export = command("export", "Write the network as ONNX, and check it against torch", _export)
    export.add_argument("file", type=Path, metavar="FILE.onnx")

    app = command("app", "Open a page on this machine that predicts photographs", _app)
    app.add_argument("--host", default=LOCAL, help="the address to listen at (default: this machine alone)")
    app.add_argument("--port", type=_port, default=PORT, help=f"default: {PORT}")

    _add_experiments(command)
    return parser


def _add_experiments(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The commands for runs and experiments, and for projects as a whole."""
    ui = command("ui", "Show this project's runs in MLflow's page, on this machine alone", _ui, uses_model=False)
    ui.add_argument("--port", type=_port, default=UI_PORT, help=f"default: {UI_PORT}")
    command("sync", "Send to MLflow what stages logged while it could not be reached", _sync, uses_model=False)

    compare = command("compare", "Compare two models on the same images", _compare, uses_model=False)
    compare.add_argument("first", metavar="A", help="a predictions.csv, or a DVC experiment or Git revision")
    compare.add_argument("second", metavar="B", help="likewise")
    compare.add_argument("--split", default="test", choices=["test", "val"], help="default: test")
    compare.add_argument("--common", action="store_true", help="compare on the images that both predict")
    for name in "ab":
        compare.add_argument(
            f"--threshold-{name}", type=_probability, metavar="T",
            help=f"threshold of {name.upper()} on the calibrated probability (default: that of its high_recall point)",
        )  # fmt: skip

    pool = command("pool", "Pool the test predictions of the folds of a cross-validation", _pool, uses_model=False)
    pool.add_argument("folds", metavar="FOLD", nargs="+", help="a predictions.csv, or a DVC experiment or revision")
    pool.add_argument("--out", type=Path, default=POOLED, help=f"default: {POOLED}")
    for parts in (compare, pool):
        parts.add_argument(
            "--draws", type=_at_least(FEWEST_DRAWS), default=2000, help="draws of patients or lesions (default: 2000)"
        )
        parts.add_argument("--seed", type=_at_least(0), default=0, help="seed of the draws (default: 0)")

    ablate = command("ablate", "Train with changed parameters and several seeds, and compare on val", _ablate,
                     uses_model=False)  # fmt: skip
    ablate.add_argument("changes", nargs="+", metavar="CHANGE", help="parameters, such as train.ema=0.99")
    ablate.add_argument("--seeds", type=_at_least(1), default=3, help="number of seeds, counted from 0 (default: 3)")
    ablate.add_argument(
        "--table", type=Path, default=ABLATION, help=f"keeps the epochs of all runs (default: {ABLATION})"
    )

    tune = command("tune", "Search for parameters with the best val AUC, with any number of workers", _tune,
                   uses_model=False)  # fmt: skip
    tune.add_argument(
        "space", nargs="+", metavar="CHOICE",
        help="what to choose from: 'train.lr=tag(log, interval(1e-4, 1e-2))' or 'train.ema=choice(0, 0.99)'",
    )  # fmt: skip
    tune.add_argument("--trials", type=_at_least(1), default=20, help="of all workers together (default: 20)")
    tune.add_argument("--study", type=_study, default="tune", metavar="NAME", help="of the search (default: tune)")
    tune.add_argument(
        "--storage", metavar="PLACE",
        help="what all workers share: a database's address, or a file (default: one in .dermascreen)",
    )  # fmt: skip

    demo = command("demo", "Run the whole pipeline on synthetic lesions", _demo, uses_model=False)
    demo.add_argument("folder", nargs="?", type=Path, default=DEMO, help=f"where (default: {DEMO})")

    said = command("review", "Add the verdicts that reports/audit.html saved to data/reviewed_pairs.csv", _review,
                   uses_model=False)  # fmt: skip
    said.add_argument(
        "file", type=Path, metavar="FILE", help="what the page saved, such as ~/Downloads/reviewed_pairs.csv"
    )
    keep = command("keep", "Keep what a finished run was made from, its numbers and the kind of machine", _keep,
                   uses_model=False)  # fmt: skip
    keep.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder, or one of an earlier keep")

    again = command("reproduce", "Make a kept run again, and say what came out equal", _reproduce, uses_model=False)
    again.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that keep wrote")
    again.add_argument("--archive", type=Path, metavar="ZIP", help="what the kept run had in data.archive")
    again.add_argument("--into", type=Path, default=REPRODUCED, metavar="DIR", help=f"where (default: {REPRODUCED})")


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def _study(text: str) -> str:
    if not text.replace("-", "").replace("_", "").isalnum() or text.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text} is not a name of letters, digits, - and _")
    return text


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least {least}")
        return int(text)

    return parse


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text} is not a port from 1 to {LAST_PORT}")
    return int(text)


def _predict(wanted: argparse.Namespace) -> int:
    from dermascreen.serving import output  # noqa: PLC0415 - pandas and onnxruntime are slow to import
    from dermascreen.serving.inputs import find_photographs  # noqa: PLC0415
    from dermascreen.serving.maps import require_new, saving_maps  # noqa: PLC0415
    from dermascreen.serving.photographs import PhotographPredictor  # noqa: PLC0415

    photographs, passed_over = find_photographs(wanted.paths, _standard_input())
    if wanted.explain is not None:
        require_new(wanted.explain)  # before the model is read, which takes a while
    bundle = _bundle(wanted.model, wanted.verify, explained=wanted.explain is not None)
    if wanted.point is not None and wanted.point not in list(bundle.points):
        raise InputError(f"--point: {wanted.point} is not one of {', '.join(bundle.points)}.")
    if wanted.explain is not None:
        wanted.explain.mkdir(parents=True, exist_ok=True)
    for sentence in passed_over:
        print(f"dermascreen predict: passed over {sentence}.", file=sys.stderr)
    for_people = not (wanted.json or wanted.csv)
    predictor = PhotographPredictor(bundle, point=wanted.point)
    with closing(predictor(photographs)) as predicted:
        shown = saving_maps(predicted, wanted.explain) if wanted.explain is not None else predicted
        if for_people and (caveat := bundle.caveat(predictor.point)):
            print(f"! {predictor.point}: {caveat}\n")
        make = output.table_lines if for_people else output.json_lines if wanted.json else output.csv_rows
        # On a terminal the lines themselves show the progress.
        bar = tqdm(shown, "predict", len(photographs), unit="image", disable=sys.stdout.isatty() or None)
        failed = output.write_all(bar, make(sys.stdout))
    if for_people and failed < len(photographs):
        about_maps = f"\n{output.maps_in_words(bundle)}" if wanted.explain is not None else ""
        print(f"\n{output.point_in_words(bundle, predictor.point)}{about_maps}\n{output.NOT_A_DEVICE}")
    if failed:
        print(f"dermascreen predict: {failed} of {len(photographs)} could not be predicted.", file=sys.stderr)
    return SOME_FAILED if failed else 0


def _standard_input() -> Iterator[bytes]:
    yield from sys.stdin.buffer  # bytes, because file names need not be text


def _register(wanted: argparse.Namespace) -> int:
    from dermascreen.registry.versions import register  # noqa: PLC0415

    print(register(Path(), wanted.sign))
    return 0


def _rollback(wanted: argparse.Namespace) -> int:
    from dermascreen.registry.versions import rollback  # noqa: PLC0415

    print(rollback(Path(), wanted.to))
    return 0


def _export(wanted: argparse.Namespace) -> int:
    from dermascreen.serving.export import export  # noqa: PLC0415

    print(export(_bundle(wanted.model, explained=True), wanted.file))
    return 0


def _app(wanted: argparse.Namespace) -> int:
    from dermascreen.serving.app import serve  # noqa: PLC0415

    return serve(wanted.model, wanted.host, wanted.port)


def _ui(wanted: argparse.Namespace) -> int:
    from dermascreen.serving.runs import serve_runs  # noqa: PLC0415

    serve_runs(Path.cwd(), LOCAL, wanted.port)


def _sync(_: argparse.Namespace) -> int:
    from dermascreen.core.tracking.sending import sync  # noqa: PLC0415

    print(sync(Path.cwd()))
    return 0


def _compare(wanted: argparse.Namespace) -> int:
    from dermascreen.experiments.compare import run  # noqa: PLC0415

    return run(wanted)


def _pool(wanted: argparse.Namespace) -> int:
    from dermascreen.experiments.pool import run  # noqa: PLC0415

    return run(wanted)


def _ablate(wanted: argparse.Namespace) -> int:
    from dermascreen.experiments.ablate import run  # noqa: PLC0415

    return run(wanted)


def _tune(wanted: argparse.Namespace) -> int:
    from dermascreen.experiments.tune import run  # noqa: PLC0415

    return run(wanted)


def _demo(wanted: argparse.Namespace) -> int:
    from dermascreen.experiments.demo import demo  # noqa: PLC0415

    return demo(wanted.folder)


def _review(wanted: argparse.Namespace) -> int:
    from dermascreen.data.lesions.reviews import review  # noqa: PLC0415

    return review(wanted.file)


def _keep(wanted: argparse.Namespace) -> int:
    from dermascreen.experiments.kept import keep  # noqa: PLC0415

    return keep(wanted.folder)


def _reproduce(wanted: argparse.Namespace) -> int:
    from dermascreen.experiments.reproduce import reproduce  # noqa: PLC0415

    return reproduce(wanted.folder, wanted.archive, wanted.into)


def _bundle(model: str, public_key: Path | None = None, *, explained: bool = False) -> "Bundle":
    from dermascreen.registry.files import located  # noqa: PLC0415
    from dermascreen.registry.signatures import verify  # noqa: PLC0415
    from dermascreen.serving.bundle import Bundle  # noqa: PLC0415

    with located(model) as folder:
        if public_key is not None:
            verify(folder, public_key, model)
        return Bundle.read(folder, explained=explained)
