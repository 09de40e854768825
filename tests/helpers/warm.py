"""Python processes that begin with the heavy packages imported.

Tests run dozens of stages and commands, and in each process torch, MLflow and their kin take many seconds to import. A
server imports them once and forks for each program; `python`, `dermascreen` and `dvc` on the path of `warm_environment`
are clients of it, which hand over their arguments, folder, environment and standard streams, and end as the program
does. Code of the project is never imported by the server. Some tests run everything in fresh processes all the same.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import shlex
import signal
import socket
import sys
import traceback

PROGRAMS = {"python": [], "dermascreen": ["-m", "dermascreen"], "dvc": ["-m", "dvc"]}  # and what they are to Python
PACKAGES = (
    "torch", "torchvision", "lightning", "torchmetrics", "captum.attr", "timm", "onnxruntime",
    "networkx", "torch.export._trace", "onnxscript.function_libs.torch_lib.ops",
    "mlflow", "mlflow.pyfunc",
    "mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store",
    "pandas", "sklearn.metrics", "sklearn.isotonic", "sklearn.ensemble", "scipy.stats", "matplotlib.pyplot", "cv2",
    "imagehash", "PIL.Image", "jinja2", "pydantic", "dvc.cli", "dvc.repo", "dvc.repo.reproduce", "dvc.commands.repro",
    "dvc.commands.experiments.run",
    "dvc.api", "dvc.repo.plots", "dvc_render.base", "scmrepo.git.backend.dulwich", "scmrepo.git.backend.pygit2",
    "ruamel.yaml", "s3fs", "omegaconf", "onnxscript.rewriter.onnx_fusions", "torchvision.transforms.v2",
    "sklearn.calibration", "cyclonedx.model",
)  # fmt: skip


def serve(address: str) -> None:
    """Fork a process for each client, until this one is killed."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DVC_NO_ANALYTICS"] = "1"
    gc.disable()
    for name in PACKAGES:
        __import__(name)
    gc.freeze()  # so that no process searches these for cycles
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the handlers
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address + ".new")
        listening.listen(64)
        os.rename(address + ".new", address)  # now it answers
        while True:
            client, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _handle(client, os.path.join(os.path.dirname(address), "python"))
            client.close()


def _handle(client: socket.socket, python: str) -> None:
    """Run a client's program in a child; tell the client its number, and then how it ended."""
    content, fds, _, _ = socket.recv_fds(client, 2**22, 3)
    while not content.endswith(b"\n"):
        content += client.recv(2**20)
    request = json.loads(content)
    child = os.fork()
    if child == 0:
        client.close()
        _become(request, fds, python)
    for fd in fds:
        os.close(fd)
    client.sendall(f"{child}\n".encode())
    if os.fork() == 0:  # the client's end, however it comes, is the child's end
        if client.recv(1) == b"":
            _kill(child)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    client.sendall(f"{status}\n".encode())
    client.shutdown(socket.SHUT_RDWR)
    os._exit(0)


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _become(request: dict[str, object], fds: list[int], python: str) -> None:
    """Be a fresh interpreter with these arguments, as far as a program can tell; what it starts by itself is warm."""
    sys.executable = python
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
    os.closerange(3, 64)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.default_int_handler if name == signal.SIGINT else signal.SIG_DFL)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    program, *arguments = request["arguments"]
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    base = [path for path in sys.path[1:] if "helpers" not in path]
    code = 0
    try:
        if program == "-m":
            sys.argv, sys.path[:] = arguments, [os.getcwd(), *map(os.path.abspath, paths), *base]
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [program, *arguments]
            sys.path[:] = [os.path.dirname(os.path.abspath(program)), *map(os.path.abspath, paths), *base]
            runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - as an interpreter reports it
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def run(address: str, arguments: list[str]) -> None:
    """Have the server run Python with `arguments`, and end as that does."""
    known = arguments[0] == "-m" or not arguments[0].startswith("-")
    if not known:
        os.execv(sys.executable, [sys.executable, *arguments])
    request = {"arguments": arguments, "cwd": os.getcwd(), "env": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        content = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(server, [content], [0, 1, 2])
        server.sendall(content[sent:])
        answers = server.makefile()
        child = int(answers.readline())
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda number, _: os.kill(child, number))
        status = int(answers.readline())
    if os.WIFSIGNALED(status):
        with contextlib.suppress(OSError):  # there is no handling SIGKILL
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def write_programs(folder: str, address: str) -> None:
    """Scripts of the names of PROGRAMS that are clients of the server at `address`."""
    for name, first in PROGRAMS.items():
        path = os.path.join(folder, name)
        client = shlex.join([sys.executable, "-IS", __file__, "run", address, *first])
        with open(path, "w") as file:
            file.write(f'#!/bin/sh\nexec {client} "$@"\n')
        os.chmod(path, 0o755)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        run(sys.argv[2], sys.argv[3:])
