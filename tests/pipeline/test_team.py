"""The page about a team's server from end to end, as it is printed: PostgreSQL, MLflow, a store that speaks S3, SSH."""

import getpass
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from programs import find_program, free_port
from warmth import warm_environment

from dermascreen.core.tracking.journal import FOLDER as JOURNAL
from dermascreen.core.tracking.store import ENVIRONMENT
from dermascreen.experiments.workspace import commit, make_workspace, override_params

from .conftest import OPEN_GATES, TINY, copy, printed, serving, shell

pytestmark = pytest.mark.team

PAGE = "how-to/team-server.md"
BUCKET = "dermascreen-team"
WORKERS, CLONES, EACH = 2, ("ana", "ben"), 4  # in each clone, which is its owner's, and how many runs each makes


@dataclass(frozen=True)
class Team:
    """The servers, and what the people of a team have."""

    folder: Path  # of the server
    own: Path  # of what is installed for it, and of a home
    name: str  # of the machine
    mlflow_port: str
    s3: str
    here: Mapping[str, str]  # what the page calls the servers, and what they are called here
    remote: Mapping[str, str]  # the environment in which DVC reaches its remotes: a home with keys

    @property
    def address(self) -> str:
        return f"http://{self.name}:{self.mlflow_port}"

    def blocks(self, title: str) -> list[str]:
        return [adapted(block, self.here) for block in printed(PAGE)[f"needs {title}"]]

    def follow(self, folder: Path, title: str, **variables: str) -> subprocess.CompletedProcess[str]:
        [block] = self.blocks(title)
        return shell(folder, "bash", "-euo", "pipefail", "-c", block, **variables)

    def password(self, person: str) -> str:
        return (self.folder / f"{person}.password").read_text().strip()

    def account(self, person: str) -> dict[str, str]:
        """The environment of somebody who uses MLflow's server."""
        return {
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_USERNAME": person,
            "MLFLOW_TRACKING_PASSWORD": self.password(person),
        }

    @contextmanager
    def client(self, person: str) -> Iterator[MlflowClient]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**ENVIRONMENT, **self.account(person)}.items():
                patch.setenv(name, value)
            yield MlflowClient(self.address, self.address)

    def objects(self) -> Mapping[str, bytes]:
        """All that the store holds, by key."""
        bucket = boto3.resource("s3", endpoint_url=self.s3, **KEYS, region_name="us-east-1").Bucket(BUCKET)
        return {item.key: item.get()["Body"].read() for item in bucket.objects.all()}

    def databases(self) -> bytes:
        """All that PostgreSQL holds, as it would be backed up."""
        return subprocess.check_output(
            [find_postgres("pg_dumpall"), "--host", "localhost", "--port", self.here["5433"], "--username", "postgres"],
            env=os.environ | {"PGPASSFILE": str(self.folder / "pgpass")},
        )


KEYS = {"aws_access_key_id": f"AK{secrets.token_hex(8).upper()}", "aws_secret_access_key": secrets.token_hex(20)}


def adapted(commands: str, here: Mapping[str, str]) -> str:
    """Commands of the page with the names of this machine."""
    return re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], commands)


def find_postgres(program: str) -> str:
    installed = sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{program}")))
    return find_program(*installed[-1:], program)


@pytest.fixture(scope="module")
def team(tmp_path_factory) -> Iterator[Team]:
    """A team's server that was set up as the page says."""
    own = tmp_path_factory.mktemp("team")
    programs = {name: find_program(name) for name in ("openssl", "ssh", "ssh-keygen")}
    programs |= {"sshd": find_program("sshd", "/usr/sbin/sshd"), "initdb": find_postgres("initdb")}
    name, user = socket.gethostname(), getpass.getuser()
    s3_port, mlflow_port, postgres_port, ssh_port = (free_port() for _ in range(4))
    here = {
        "the-server $(cut": f"[{name}]:{ssh_port} $(cut",  # as a file of known hosts writes a port
        "the-server": name,
        "https://s3.example.org": f"http://127.0.0.1:{s3_port}",
        "5000": mlflow_port,
        "5433": postgres_port,
        "localhost:22 -p 22 dvc@": f"localhost:{ssh_port} -p {ssh_port} {user}@",
        "dvc@team-store/srv/dermascreen": f"{user}@team-store{own}/over-ssh",
    }
    page = "".join(block for blocks in printed(PAGE).values() for block in blocks)
    assert [there for there in here if there not in page] == []
    with ExitStack() as running:
        # PostgreSQL runs as another user where this one is root, who cannot reach pytest's folders.
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="team-")))
        team = Team(folder, own, name, mlflow_port, here["https://s3.example.org"], here, home_of(own, programs["ssh"]))
        serve = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", s3_port]
        running.enter_context(serving(own, " ".join(serve), f"{team.s3}/moto-api/", "s3"))
        boto3.client("s3", endpoint_url=team.s3, region_name="us-east-1", **KEYS).create_bucket(Bucket=BUCKET)
        running.enter_context(over_ssh(own, ssh_port, programs))
        running.enter_context(postgres(team, programs["initdb"]))
        team.follow(folder, "that database")
        [serve] = team.blocks("that database and the keys of a bucket")
        running.enter_context(
            serving(folder, serve, f"http://127.0.0.1:{mlflow_port}/health", "mlflow", HOME=team.remote["HOME"])
        )
        first = team.password("first")
        team.follow(folder, "that server, just started")
        team.follow(folder, "that server and its roles")
        (own / "first").write_text(first)
        yield team


def home_of(own: Path, ssh: str) -> dict[str, str]:
    """The environment of a home with the keys of the bucket, and a key for SSH.

    OpenSSH asks the system where a user's home is, and not the environment; so `ssh` is told.
    """
    home, programs = own / "home", own / "bin"
    (home / ".aws").mkdir(parents=True)
    (home / ".ssh").mkdir(mode=0o700)
    keys = "".join(f"{name} = {value}\n" for name, value in KEYS.items())
    (home / ".aws/credentials").write_text(f"[dermascreen]\n{keys}")
    shell(own, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / ".ssh/id_ed25519"))
    programs.mkdir()
    files = f'-F "{home}/.ssh/config" -o UserKnownHostsFile="{home}/.ssh/known_hosts" -i "{home}/.ssh/id_ed25519"'
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {ssh} {files} -o BatchMode=yes "$@"\n')
    (programs / "ssh").chmod(0o755)
    return {"HOME": str(home), "PATH": f"{programs}{os.pathsep}{warm_environment()['PATH']}"}


@contextmanager
def over_ssh(own: Path, port: str, programs: Mapping[str, str]) -> Iterator[None]:
    """Debian's SSH server, for this user and its key alone."""
    folder = own / "sshd"
    folder.mkdir()
    shell(folder, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ssh_host_ed25519_key")
    shutil.copy(own / "home/.ssh/id_ed25519.pub", folder / "authorized_keys")
    settings = {
        "ListenAddress": "0.0.0.0",  # noqa: S104 - where the machine's name leads is its own affair
        "Port": port,
        "HostKey": folder / "ssh_host_ed25519_key",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",  # which looks at the folders above, and /tmp is everybody's
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # made by the system where it starts sshd itself
    with serving(folder, f"exec {programs['sshd']} -D -e -f config", f"ssh://127.0.0.1:{port}", "sshd"):
        yield


@contextmanager
def postgres(team: Team, initdb: str) -> Iterator[None]:
    """PostgreSQL as the page starts it, by a user that it accepts."""
    [start] = team.blocks("a folder of its own on the server")
    stop = f"{Path(initdb).parent}/pg_ctl --pgdata database --mode immediate stop"
    other: list[str] = []
    if os.getuid() == 0:
        other = [find_program("runuser"), "-u", "postgres", "--"]
        owner = pwd.getpwnam("postgres")
        os.chown(team.folder, owner.pw_uid, owner.pw_gid)
    home = {"HOME": str(team.folder)}
    try:
        shell(team.folder, *other, "bash", "-euo", "pipefail", "-c", start, **home)
        yield
    finally:
        shell(team.folder, *other, "bash", "-c", stop, check=False, **home)


def set_up(folder: Path) -> None:
    for setting in ("user.name=a", "user.email=a@b", "commit.gpgsign=false"):
        shell(folder, "git", "config", *setting.split("="))


@pytest.fixture(scope="module")
def pushed(team, tmp_path_factory) -> Path:
    """A folder with a project in which ana ran the pipeline, and where it was pushed to: project.git and the store."""
    folder = tmp_path_factory.mktemp("pushed")
    project, home = folder / "project", folder / "home"
    make_workspace(project, TINY)
    home.mkdir()
    (home / ".dermascreen.password").write_text(team.password("ana"))
    done = team.follow(project, "an account on that server", HOME=str(home))
    assert "MLflow" not in done.stderr
    commit(project, "Results")
    shell(folder, "git", "init", "--quiet", "--bare", "project.git")
    shell(project, "git", "remote", "add", "origin", str(folder / "project.git"))
    branch = shell(project, "git", "branch", "--show-current").stdout.strip()
    shell(folder / "project.git", "git", "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    team.follow(project, "the keys of a bucket", **team.remote)
    shell(project, "git", "push", "--quiet", "--set-upstream", "origin", branch)
    return folder


def clone(pushed: Path, name: str) -> Path:
    shell(pushed, "git", "clone", "--quiet", "project.git", name)
    set_up(pushed / name)
    return pushed / name


@contextmanager
def work(folder: Path, account: Mapping[str, str]) -> Iterator[None]:
    """Have DVC's workers do all that is queued, until the body and they are done."""
    workers = subprocess.Popen(
        ["dvc", "exp", "run", "--run-all", "--jobs", str(WORKERS)],
        cwd=folder, env=warm_environment() | account, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield
        said, _ = workers.communicate()
        assert workers.returncode == 0, said
    finally:
        if workers.poll() is None:
            shell(folder, "dvc", "queue", "stop", "--kill", check=False)
            workers.kill()
            workers.wait()


def runs_of(client: MlflowClient, stage: str) -> list:
    experiment = client.get_experiment_by_name("dermascreen")
    return client.search_runs([experiment.experiment_id], f"tags.stage = '{stage}'", max_results=1000)


def test_four_workers_on_two_clones_lose_no_run_and_double_none(team, pushed) -> None:
    targets = [f"{0.81 + 0.01 * number:.2f}".rstrip("0") for number in range(len(CLONES) * EACH)]
    clones = {person: clone(pushed, person) for person in CLONES}
    for number, folder in enumerate(clones.values()):
        shell(folder, "dvc", "pull", "--quiet", **team.remote)
        own = ",".join(targets[number * EACH : (number + 1) * EACH])
        queue = ("dvc", "exp", "run", "--queue", "--single-item", "-S", f"threshold.target_recall={own}", "threshold")
        shell(folder, *queue)
    with ExitStack() as working:
        for person, folder in clones.items():
            working.enter_context(work(folder, team.account(person)))
    for person, folder in clones.items():
        done = shell(folder, "dermascreen", "sync", PYTHONPATH="src", **team.account(person))
        assert done.stdout.endswith(("MLflow has all that was logged.\n", f"MLflow at {team.address} answers.\n"))
        assert [*(folder / JOURNAL).glob("*-*")] == []
    stored = team.objects()
    with team.client("guest") as client:
        [row] = [run for run in runs_of(client, "train") if "dvc.exp_name" not in run.data.tags]
        runs = [run for run in runs_of(client, "threshold") if run.data.params["threshold.target_recall"] in targets]
        assert sorted(run.data.params["threshold.target_recall"] for run in runs) == targets
        assert {run.info.status for run in [row, *runs]} == {"FINISHED"}
        assert len({run.data.tags["dvc.exp_name"] for run in runs}) == len(targets)
        assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {row.info.run_id}
        assert {run.info.user_id for run in runs} == set(CLONES)
        assert row.info.user_id == "ana"
        assert row.data.tags["threshold.run_id"] in {run.info.run_id for run in runs}
        assert "high_recall/recall" in row.data.metrics
        for run in runs:
            place = f"{run.info.experiment_id}/{run.info.run_id}/artifacts"
            assert run.info.artifact_uri == f"mlflow-artifacts:/{place}"
            path = Path(client.download_artifacts(run.info.run_id, "threshold.json", str(pushed)))
            assert f'"target_recall": {float(run.data.params["threshold.target_recall"])}' in path.read_text()
            assert stored[f"mlflow/{place}/threshold.json"] == path.read_bytes()
        experiments = client.search_experiments()
        models = client.search_logged_models([run.info.experiment_id])
        places = [place.artifact_location for place in [*experiments, *models]]
        assert len(places) > len(experiments)
        assert [place for place in places if not place.startswith("mlflow-artifacts:/")] == []
    assert str(pushed).encode() not in b"".join(stored.values())


def copied(pushed: Path, folder: Path) -> Path:
    """A copy to change of the project that ana pushed, with links to DVC's cache."""
    project = folder / "project"
    shutil.copytree(pushed / "project", project, symlinks=True, copy_function=copy)
    return project


def test_a_clone_takes_the_model_over_ssh_and_runs_an_experiment(team, pushed, tmp_path) -> None:
    project, known = copied(pushed, tmp_path), Path(team.remote["HOME"], ".ssh/known_hosts")
    team.follow(team.own / "sshd", "the public key of an SSH server", **team.remote)
    team.follow(project, "an account on that SSH server", **team.remote)
    there = tmp_path / "clone"
    shell(tmp_path, "git", "clone", "--quiet", str(project), str(there))
    set_up(there)
    right = known.read_text()
    known.write_text(right.replace(right.split()[2], (team.own / "home/.ssh/id_ed25519.pub").read_text().split()[1]))
    refused = shell(there, "dvc", "pull", "--remote", "team-ssh", check=False, **team.remote)
    assert refused.returncode != 0
    assert not (there / "models/weights.safetensors").exists()
    known.write_text(right)
    shell(there, "dvc", "pull", "--quiet", "--remote", "team-ssh", **team.remote)
    weights = "models/weights.safetensors"
    assert (there / weights).read_bytes() == (project / weights).read_bytes()
    name = "over-ssh"
    shell(
        there, "dvc", "exp", "run", "--name", name, "-S", "threshold.target_recall=0.99", "threshold",
        **team.account("ben"),
    )  # fmt: skip
    shell(there, "dermascreen", "sync", PYTHONPATH="src", **team.account("ben"))
    with team.client("guest") as client:
        [run] = [run for run in runs_of(client, "threshold") if run.data.tags.get("dvc.exp_name") == name]
    assert (run.info.status, run.data.params["threshold.target_recall"]) == ("FINISHED", "0.99")


def test_a_search_is_shared_by_two_machines(team, pushed, tmp_path) -> None:
    [search] = printed("how-to/sweep.md")["needs a team's server"]
    short = {"--trials 100": "--trials 2", "dermascreen tune": "dermascreen tune 'train.epochs=choice(1)'"}
    machines, working = [copied(pushed, tmp_path / name) for name in ("one", "two")], []
    for machine in machines:
        (machine / "tune.password").write_text(team.password("tune"))
        command = ["bash", "-euo", "pipefail", "-c", adapted(search, {**team.here, **short})]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        environment = warm_environment() | team.account("ben")
        working.append(subprocess.Popen(command, cwd=machine, env=environment, **output))
    said = [worker.communicate()[0] for worker in working]
    assert [worker.returncode for worker in working] == [0, 0], said
    made = [set(shell(machine, "dvc", "exp", "list", "--names-only").stdout.split()) for machine in machines]
    assert made[0] | made[1] == {"lr-0", "lr-1"}
    assert not made[0] & made[1]
    assert team.password("tune") not in "".join(said)
    assert any("Trials that came to their end: 2; stopped: 0. The best, lr-" in text for text in said)
    for machine in machines:
        shell(machine, "dermascreen", "sync", PYTHONPATH="src", **team.account("ben"))
    with team.client("guest") as client:
        rows = [run for run in runs_of(client, "train") if run.data.tags.get("dvc.exp_name")]
    assert sorted(row.data.tags["dvc.exp_name"] for row in rows) == ["lr-0", "lr-1"]
    assert {row.info.status for row in rows} == {"FINISHED"}


def test_who_may_not_write_is_told_so_in_one_sentence(team, pushed, tmp_path) -> None:
    project = copied(pushed, tmp_path)
    override_params(project / "params.yaml", OPEN_GATES)
    guest = team.account("guest")
    refuses = f"MLflow at {team.address} refuses \\(.*\\), so {{}}; set MLFLOW_TRACKING_USERNAME and .* who has access"
    stage = shell(project, "dvc", "repro", "--single-item", "--force", "report", **guest)
    assert re.fullmatch(f"report: {refuses.format('what is logged waits in .dermascreen/tracking')}.*\\n", stage.stderr)
    register = shell(project, "dermascreen", "register", check=False, PYTHONPATH="src", **guest)
    assert (register.returncode, register.stdout) == (1, "")
    nothing = "no version was registered, and the champion stays"
    assert re.fullmatch(f"dermascreen register: {refuses.format(nothing)}\\.\\n", register.stderr)
    with team.client("guest") as client:
        assert client.search_model_versions("name = 'dermascreen'") == []
    sent = shell(project, "dermascreen", "sync", PYTHONPATH="src", **team.account("ana"))
    assert sent.stdout == "1 run sent; MLflow has all that was logged.\n"
    done = shell(project, "dermascreen", "register", PYTHONPATH="src", **team.account("ana"))
    assert done.stdout.startswith("Registered dermascreen version 1, now champion.")
    with team.client("guest") as client:
        before = runs_of(client, "register")
    ben = shell(project, "dermascreen", "register", check=False, PYTHONPATH="src", **team.account("ben"))
    assert (ben.returncode, ben.stdout) == (1, "")
    assert re.fullmatch(f"dermascreen register: {refuses.format(nothing)}\\.\\n", ben.stderr)
    with team.client("guest") as client:
        assert len(runs_of(client, "register")) == len(before) == 1  # nothing was sent to be registered


def test_an_account_can_be_tried_where_nothing_waits(team, pushed, tmp_path) -> None:
    project = copied(pushed, tmp_path)
    said = shell(project, "dermascreen", "sync", PYTHONPATH="src", **team.account("guest")).stdout
    assert said == f"Nothing waited; MLflow at {team.address} answers.\n"
    for changed, problem in (
        (
            {"MLFLOW_TRACKING_PASSWORD": "guessed"},
            r"refuses \(.*You are not authenticated.*\); set MLFLOW_TRACKING_USERNAME",
        ),
        (
            {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{team.mlflow_port}"},
            r"does not answer to that name \(.*\); set MLFLOW_TRACKING_URI to a name that its --allowed-hosts lists",
        ),
    ):
        refused = shell(
            project, "dermascreen", "sync", check=False, PYTHONPATH="src", **(team.account("guest") | changed)
        )
        assert (refused.returncode, refused.stdout) == (1, "")
        assert re.fullmatch(f"dermascreen sync: MLflow at http://\\S+ {problem}.*\\n", refused.stderr), refused.stderr


def test_who_comes_first_owns_nothing_of_the_teams(team) -> None:
    with team.client("guest") as client:
        for name in ("dermascreen", "dermascreen-data"):
            experiment = client.get_experiment_by_name(name)
            with pytest.raises(MlflowException, match="Permission denied"):
                client.delete_experiment(experiment.experiment_id)


def test_accounts_can_be_made_again_without_harm(team) -> None:
    before = team.password("ben")
    [again] = team.blocks("that server and its roles")
    more = again.replace('"ben": ["trains"]', '"ben": ["trains"], "zoe": ["trains"]')
    shell(team.folder, "bash", "-euo", "pipefail", "-c", more)
    assert team.password("ben") == before
    with team.client("zoe") as client:
        assert client.get_experiment_by_name("dermascreen") is not None
    for title in ("a folder of its own on the server", "that database"):
        [block] = team.blocks(title)
        refused = shell(team.folder, "bash", "-c", block, check=False)
        assert refused.returncode == 1
        assert "already" in refused.stderr
    assert team.password("postgres") in (team.folder / "pgpass").read_text()


def test_no_password_or_key_appears_anywhere(team, pushed, tmp_path) -> None:
    project = copied(pushed, tmp_path)
    said = []
    for person in ("guest", "ben"):
        address = team.address.replace("://", f"://{person}:{team.password(person)}@")
        done = shell(project, "dvc", "repro", "--single-item", "--force", "report", MLFLOW_TRACKING_URI=address)
        said.append(done.stdout + done.stderr)
    assert f"MLflow at {team.address.replace('://', '://***@')} refuses" in said[0]
    assert "MLflow now has 1 earlier run too." in said[1]
    passwords = {path.stem: path.read_text().strip() for path in team.folder.glob("*.password")}
    assert passwords.keys() - {"zoe"} == {"postgres", "mlflow", "tune", "admin", "session", "ana", "ben", "guest"}
    hidden = [*passwords.values(), *KEYS.values(), (team.own / "first").read_text()]
    people = ("admin", "ana", "ben", "guest")
    hidden += [b64encode(f"{person}:{passwords[person]}".encode()).decode() for person in people]  # as HTTP sends them
    senders = Path(tempfile.gettempdir()).glob(f"dermascreen-{os.getuid()}/*.log")
    logs = [*team.folder.glob("*.log"), *team.own.rglob("*.log"), *senders]
    assert {path.name for path in logs} >= {"postgres.log", "mlflow.log", "s3.log", "sshd.log"}
    files = [path for path in [*project.rglob("*"), *pushed.rglob("*")] if path.is_file()]
    files.remove(pushed / "home/.dermascreen.password")
    assert project / "dvc.lock" in files
    texts = {}
    for path in [*logs, *files]:
        with suppress(FileNotFoundError):  # the log of another test's sender, which ended
            texts[str(path)] = path.read_bytes()
    texts |= dict(team.objects()) | {"output": "".join(said).encode(), "PostgreSQL": team.databases()}
    assert [(secret, name) for secret in hidden for name, text in texts.items() if secret.encode() in text] == []


def test_the_server_takes_the_admins_new_password_and_answers_to_its_name_alone(team) -> None:
    def code(*more: str) -> str:
        return shell(
            team.own, "curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", *more,
            f"http://127.0.0.1:{team.mlflow_port}/api/2.0/mlflow/experiments/get?experiment_id=0",
        ).stdout  # fmt: skip

    name = ("--header", f"Host: {team.name}:{team.mlflow_port}")
    assert code(*name) == "401"
    assert code(*name, "--user", f"admin:{(team.own / 'first').read_text()}") == "401"
    assert code(*name, "--user", f"admin:{team.password('admin')}") == "200"
    assert code("--header", f"Host: another:{team.mlflow_port}", "--user", f"admin:{team.password('admin')}") == "403"


def test_who_searches_reaches_a_database_of_searches_alone(team) -> None:
    def answer(database: str, query: str) -> str:
        done = shell(
            team.own, find_postgres("psql"), "--no-password", "--tuples-only", "--no-align", "--command", query,
            f"postgresql://tune@{team.name}:{team.here['5433']}/{database}", check=False,
            PGPASSWORD=team.password("tune"),
        )  # fmt: skip
        return done.stdout + done.stderr

    made = answer("dermascreen_tune", "CREATE TABLE searched (); SELECT count(*) FROM searched; DROP TABLE searched")
    assert made.split() == ["CREATE", "TABLE", "0", "DROP", "TABLE"]
    refused = "permission denied for table|no pg_hba.conf entry"  # here, and where the name leads out of the machine
    assert re.search(refused, answer("mlflow", "SELECT * FROM experiments"))
    assert re.search(refused, answer("mlflow_auth", "SELECT * FROM users"))
