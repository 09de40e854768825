"""`dermascreen predict`, `register`, `rollback`, `export`, `app` and `ui`: a trained model in use, and its runs.

Exit codes: 0 all is done; 1 a mistake that one sentence on stderr names, and nothing was done; 2 the command cannot be
understood; 3 some photographs could not be judged, and the others were; 130 Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dermascreen.errors import InputError, reported

if TYPE_CHECKING:
    from dermascreen.serving.bundle import Bundle

MODELS = "models"
SOME_FAILED = 3
LOCAL = "127.0.0.1"
PORT = 8501
UI_PORT = 5000


def main(arguments: Sequence[str] | None = None) -> None:
    wanted = _parser().parse_args(arguments)
    with reported(f"dermascreen {wanted.command}"):
        sys.exit(wanted.run(wanted))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "dermascreen",
        description="Use a trained model, and look at its runs.",
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

    predict = command("predict", "Judge photographs", _predict)
    predict.epilog = parser.epilog
    predict.add_argument(
        "paths", nargs="+", metavar="PATH", help="a photograph, a folder, a pattern, or - for a list on standard input"
    )
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write a JSON object for each photograph, a line each")
    form.add_argument("--csv", action="store_true", help="write CSV")
    predict.add_argument("--point", metavar="NAME", help="the operating point (default: abstention, or high_recall)")
    predict.add_argument("--explain", metavar="DIR", type=Path, help="save maps of the evidence into a new folder")

    command(
        "register", "Register this project's model if it passes its gates, and promote it if it is better", _register,
        uses_model=False,
    )  # fmt: skip
    rollback = command("rollback", "Make the champion before this one champion again", _rollback, uses_model=False)
    rollback.add_argument("--to", type=int, metavar="VERSION", help="a registered version (default: the one before)")

    export = command("export", "Write the network as ONNX, and check it against torch", _export)
    export.add_argument("file", type=Path, metavar="FILE.onnx")

    app = command("app", "Open a page on this machine that judges photographs", _app)
    app.add_argument("--host", default=LOCAL, help="the address to listen at (default: this machine alone)")
    app.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}")

    ui = command("ui", "Show this project's runs in MLflow's page, on this machine alone", _ui, uses_model=False)
    ui.add_argument("--port", type=int, default=UI_PORT, help=f"default: {UI_PORT}")
    return parser


def _predict(wanted: argparse.Namespace) -> int:
    from dermascreen.serving import output  # noqa: PLC0415 - torch is slow to import
    from dermascreen.serving.inputs import find_photographs  # noqa: PLC0415
    from dermascreen.serving.judge import Judge  # noqa: PLC0415
    from dermascreen.serving.maps import make_new, saving_maps  # noqa: PLC0415

    photographs, passed_over = find_photographs(wanted.paths, _standard_input())
    bundle = _bundle(wanted.model)
    if wanted.point is not None and wanted.point not in bundle.points:
        raise InputError(f"--point: {wanted.point} is not one of {', '.join(bundle.points)}.")
    if wanted.explain is not None:
        make_new(wanted.explain)
    for sentence in passed_over:
        print(f"dermascreen predict: passed over {sentence}.", file=sys.stderr)
    for_people = not (wanted.json or wanted.csv)
    judge = Judge(bundle, point=wanted.point, explained=wanted.explain is not None)
    with closing(judge(photographs)) as judged:
        shown = saving_maps(judged, wanted.explain) if wanted.explain is not None else judged
        if for_people and (caveat := bundle.caveat(judge.point)):
            print(f"! {judge.point}: {caveat}\n")
        make = output.table_lines if for_people else output.json_lines if wanted.json else output.csv_rows
        # Lines that appear are progress enough.
        bar = tqdm(shown, "judge", len(photographs), unit="image", disable=sys.stdout.isatty() or None)
        failed = output.write_all(bar, make(sys.stdout))
    if for_people:
        about_maps = f"\n{output.maps_in_words(bundle)}" if wanted.explain is not None else ""
        print(f"\n{output.point_in_words(bundle, judge.point)}{about_maps}\n{output.NOT_A_DEVICE}")
    if failed:
        print(f"dermascreen predict: {failed} of {len(photographs)} could not be judged.", file=sys.stderr)
    return SOME_FAILED if failed else 0


def _standard_input() -> Iterator[bytes]:
    yield from sys.stdin.buffer  # bytes, as names of files need not be text


def _register(_wanted: argparse.Namespace) -> int:
    from dermascreen.serving.registry import register  # noqa: PLC0415

    print(register(Path()))
    return 0


def _rollback(wanted: argparse.Namespace) -> int:
    from dermascreen.serving.registry import rollback  # noqa: PLC0415

    print(rollback(Path(), wanted.to))
    return 0


def _export(wanted: argparse.Namespace) -> int:
    from dermascreen.serving.export import export  # noqa: PLC0415

    print(export(_bundle(wanted.model), wanted.file))
    return 0


def _app(wanted: argparse.Namespace) -> int:
    from dermascreen.serving.app import serve  # noqa: PLC0415

    return serve(wanted.model, wanted.host, wanted.port)


def _ui(wanted: argparse.Namespace) -> int:
    from dermascreen.serving.address import require_free  # noqa: PLC0415
    from dermascreen.tracking import answering, move_in, store_uri  # noqa: PLC0415

    root = Path.cwd()
    uri = store_uri(root)
    if uri.startswith("http"):
        raise InputError("MLFLOW_TRACKING_URI names a server, which shows its runs itself; open that in a browser.")
    require_free(LOCAL, wanted.port)
    with answering(uri):
        move_in(root)
    print(f"Open http://{LOCAL}:{wanted.port} in a browser; Ctrl-C ends.", flush=True)
    # In the environment, since an address may hold a password, which a command line would show to all.
    command = [sys.executable, "-m", "mlflow", "ui", "--host", LOCAL, "--port", str(wanted.port)]
    os.execve(sys.executable, command, os.environ | {"MLFLOW_BACKEND_STORE_URI": uri})  # noqa: S606


def _bundle(model: str) -> "Bundle":
    from dermascreen.serving.bundle import Bundle  # noqa: PLC0415
    from dermascreen.serving.registry import located  # noqa: PLC0415

    with located(model) as folder:
        return Bundle.read(folder)
