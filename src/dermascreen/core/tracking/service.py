"""A process that sends journals to MLflow, for all stages that run one after the other.

MLflow takes seconds to import, and the pipeline has twelve stages. So a stage asks a process that stays: the first
stage starts it, and it ends when nobody has asked for a while. It listens on a socket in a folder of this user's alone.
Stages with another environment, and so perhaps another store or password, or with other code have one of their own.
"""

import fcntl
import hashlib
import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingMixIn, UnixStreamServer
from threading import Lock

from dermascreen.core.errors import StoreError
from dermascreen.core.tracking.address import database_file, store_uri
from dermascreen.core.tracking.failures import masked
from dermascreen.core.tracking.sending import Answer, Sender
from dermascreen.core.tracking.store import import_mlflow

IDLE = 120.0  # seconds after which the process ends
STEP = 0.02  # seconds between looks at a process that another stage is starting
ATTEMPTS = 3  # to have one question answered

# Not a reason for a process of one's own; some of these change when a library is imported.
UNIMPORTANT = re.compile(
    "PWD|OLDPWD|SHLVL|_|COLUMNS|LINES|PYTHONPATH|LD_LIBRARY_PATH|(DVC|KINETO|KMP|NCCL|OMP|PL|PYTORCH|QT|TORCH)_.*"
)
LONGEST, NAME = 107, 24  # bytes of a socket's address, and of its name in the folder
GREETING = b"ready\n"  # of a process that has imported MLflow
SOON = 0.2  # seconds in which such a process greets

_Identity = tuple[int, int]


class Service:
    """The process as a stage sees it, for one run: ask it to send, and take its answers.

    Every method but `ask` raises StoreError if there is no such process and none can be started.
    """

    def __init__(self, root: Path, run: str) -> None:
        self._request = json.dumps({"root": str(root), "run": run}).encode() + b"\n"
        self._address = _address()  # once, as libraries change the environment when they are imported
        self._connection: _Connection | None = None
        self._connect()

    def ask(self) -> Answer | None:
        """Have sent what there is, without waiting; return the answer to an earlier question, if it has arrived."""
        try:
            connection = self._connect()
            answer = connection.answer() if connection.is_answered() else None
            if not connection.open_questions:
                connection.ask(self._request)
        except (OSError, StoreError):  # `finish` tries again, and says what is wrong
            self._disconnect()
            return None
        return answer

    def finish(self, *, patient: bool) -> Answer | None:
        """Have all sent, and return the answer, together with those to earlier questions that nobody took.

        Parameters: `patient`, whether to wait also for a process that is still importing MLflow.
        """
        answers: list[Answer] = []
        for _ in range(ATTEMPTS):
            try:
                connection = self._connect()
                connection.ask(self._request)
                if not patient and not connection.is_ready():
                    return None
                while connection.open_questions:  # only the last answer covers what was logged last
                    answers.append(connection.answer())
                said = dict.fromkeys(sentence for answer in answers for sentence in answer.said)
                return Answer([*said], sum(answer.sent for answer in answers), answers[-1].waiting)
            except OSError:  # it ended between two questions
                continue
            finally:
                self._disconnect()
        log = _log(self._address)
        told = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
        raise StoreError(
            f"the process that logs to MLflow does not answer ({masked(told[-1]) if told else 'it ended'})"
        )

    def _connect(self) -> "_Connection":
        """The connection to the process, which is started if necessary."""
        self._connection = self._connection or _Connection.to(self._address)
        if self._connection is None:
            _start(self._address)
            self._connection = _Connection.to(self._address)
        if self._connection is None:
            raise StoreError("the process that logs to MLflow does not listen")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class _Connection:
    """A connection to the process; its methods raise OSError where the process has ended."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._answers = connected, connected.makefile("rb", buffering=0)
        self.open_questions, self._greeted = 0, False

    @classmethod
    def to(cls, address: Path) -> "_Connection | None":
        """A connection to the process that listens there, if one does."""
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(str(address))
        except OSError:
            connected.close()
            return None
        return cls(connected)

    def ask(self, request: bytes) -> None:
        self._socket.sendall(request)
        self.open_questions += 1

    def is_ready(self) -> bool:
        """Whether the process has imported MLflow."""
        if not self._greeted and self._can_read(SOON):
            self._greet()
        return self._greeted

    def is_answered(self) -> bool:
        if not self._greeted and self._can_read(0):
            self._greet()
        return self._greeted and self.open_questions > 0 and self._can_read(0)

    def answer(self) -> Answer:
        if not self._greeted:
            self._greet()
        self.open_questions -= 1
        return Answer(**json.loads(self._line()))

    def _greet(self) -> None:
        self._greeted = self._line() == GREETING

    def _can_read(self, seconds: float) -> bool:
        return bool(select.select([self._socket], [], [], seconds)[0])

    def _line(self) -> bytes:
        """The next line. It is read byte by byte, so that `select` knows of all that is not read yet."""
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError
        return line

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: Path) -> None:
        super().__init__(str(address), _Handler)
        self.timeout = 1.0
        self.sender, self.lock, self.last = Sender(), Lock(), time.monotonic()
        self.clients: set[_Handler] = set()  # added to and removed from by several threads
        self.address, self.ended = address, False
        self.opened: dict[Path, _Identity] = {}  # databases, which MLflow holds open

    def serve(self) -> None:
        """Answer until nobody is connected and nobody has been for a while."""
        while not self.ended and (self.clients or time.monotonic() - self.last < IDLE):
            self.handle_request()

    def send(self, root: Path, run: str) -> Answer | None:
        """Send; or None, and the end of this process, if a database that MLflow holds open here was deleted."""
        file = _database(root)
        if file in self.opened and self.opened[file] != _identity(file):
            self.ended = True
            self.address.unlink(missing_ok=True)  # so that the next question goes to another process
            return None
        answer = self.sender.send(root, run)
        if file is not None and (identity := _identity(file)) is not None:
            self.opened[file] = identity
        return answer


class _Handler(StreamRequestHandler):
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.clients.add(self)

    def handle(self) -> None:
        with suppress(ConnectionError):  # the stage does not wait, but may have sent its request
            self.wfile.write(GREETING)
        with suppress(ConnectionError):  # the stage was killed, or does not wait for the answer
            for line in self.rfile:
                request = json.loads(line)
                with self.server.lock:
                    answer = self.server.send(Path(request["root"]), request["run"])
                if answer is None:
                    return
                self.wfile.write(json.dumps(answer._asdict()).encode() + b"\n")

    def finish(self) -> None:
        with suppress(ConnectionError):
            super().finish()
        self.server.last = time.monotonic()
        self.server.clients.discard(self)


def _database(root: Path) -> Path | None:
    """The file of the project's store, if it is one."""
    try:
        return database_file(store_uri(root))
    except StoreError:  # which sending will report
        return None


def _identity(file: Path) -> _Identity | None:
    """Device and inode of a file, which another file of the same name does not have while this one is held open."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _address() -> Path:
    """The socket of a process with this environment and code."""
    folder = Path(tempfile.gettempdir(), f"dermascreen-{os.getuid()}")
    if len(os.fsencode(folder)) + 1 + NAME > LONGEST:
        raise StoreError(
            f"the path of the temporary folder, {tempfile.gettempdir()}, is too long for a socket: set TMPDIR to a "
            "shorter one"
        )
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made ({error.strerror}): set TMPDIR to another folder") from None
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise StoreError(f"{folder} is not a folder of this user's alone")
    environment = {name: value for name, value in os.environ.items() if not UNIMPORTANT.fullmatch(name)}
    content = [json.dumps([sys.executable, environment], sort_keys=True).encode()]
    content += [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return folder / hashlib.sha256(b"".join(content)).hexdigest()[:NAME]


def _log(address: Path) -> Path:
    """What the process prints, which is nothing unless it fails."""
    return address.with_suffix(".log")


def _start(address: Path) -> None:
    """Start the process, or see that another stage has; return when it listens."""
    command = [sys.executable, "-m", "dermascreen.core.tracking.service", str(address)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        command, env=environment, start_new_session=True,
        cwd=address.parent,  # the copy in which an experiment runs is deleted while the process lives
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    if done.returncode:
        said = [f"exit code {done.returncode}", *done.stderr.decode(errors="replace").strip().splitlines()]
        raise StoreError(f"the process that logs to MLflow does not start ({masked(said[-1])})")


def _become(address: Path) -> None:
    """Be the process, and go on in the background as soon as it listens."""
    lock = address.with_suffix(".lock").open("wb")  # held as long as the process lives, which a FileLock loses by fork
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if connection := _Connection.to(address):
                connection.close()
                return
            time.sleep(STEP)
    address.unlink(missing_ok=True)
    with _Server(address) as server:
        if os.fork():
            os._exit(0)  # the lock stays with the child
        with _log(address).open("wb") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        try:
            import_mlflow()
            server.serve()
        finally:
            address.unlink(missing_ok=True)
        _log(address).unlink()  # which nobody will ask for


if __name__ == "__main__":
    _become(Path(sys.argv[1]))
