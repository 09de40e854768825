"""A search: how many trials it takes, what it makes of them, and what a worker that dies leaves behind."""

import argparse
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import optuna
import pytest
from commands import main
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import IntegrityError, ProgrammingError

from dermascreen.core.errors import SearchError
from dermascreen.experiments import tune
from dermascreen.experiments.space import Space
from dermascreen.experiments.workspace import override_params

SHIPPED = Path(__file__).parents[2] / "params.yaml"
LR, EMA = "train.lr=tag(log, interval(1e-4, 1e-2))", "train.ema=choice(0, 0.9)"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Iterator[Path]:
    """A project in which a trial takes no time; its val AUC is its learning rate's nearness to 0.001."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    Path("data").mkdir()
    Path("data/splits.csv").write_text("a table\n")
    trained: dict[str, float] = {}

    def train(_, name, values, root) -> None:
        assert root == tmp_path
        trained[name] = 1 - abs(values.get("train.lr", 0.001) - 0.001)

    monkeypatch.setattr(tune, "_train", train)
    monkeypatch.setattr(tune, "_val_auc", trained.__getitem__)
    monkeypatch.setattr(tune, "_experiments", set)
    monkeypatch.setattr(tune, "_uncommitted", lambda: False)
    sampler, seeds = optuna.samplers.TPESampler, itertools.count()  # each worker has its own
    monkeypatch.setattr(optuna.samplers, "TPESampler", lambda **named: sampler(seed=next(seeds), **named))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


def study(name: str = "tune", place: str = ".dermascreen/tune/tune.log") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(place)))


def search(*space: str, trials: int, name: str = "tune", storage: str | None = None) -> int:
    return tune.run(argparse.Namespace(space=space, trials=trials, study=name, storage=storage))


def test_trials_are_counted_over_all_workers_and_the_best_is_named(capsys) -> None:
    assert search(LR, EMA, trials=4) == 0
    assert search(LR, EMA, trials=6) == 0  # another worker, or the same later
    found = study().trials
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 6
    best = max(found, key=lambda trial: trial.value)
    said = capsys.readouterr().out
    assert said.count("val AUC") == 6 + 2
    assert "Trials that came to their end: 4; stopped: 0." in said
    assert f"Trials that came to their end: 6; stopped: 0. The best, tune-{best.number}, has a val AUC of " in said
    lr, ema = best.user_attrs["values"].values()
    assert said.endswith(f"\n\ndvc exp run --name tune-best -S train.lr={lr} -S train.ema={ema}\n")
    capsys.readouterr()
    assert search(LR, EMA, trials=6) == 0
    assert capsys.readouterr().out.startswith("Trials that came to their end: 6")
    assert len(study().trials) == 6


def test_equal_values_are_not_trained_again(capsys, monkeypatch) -> None:
    names: list[str] = []
    train = tune._train
    monkeypatch.setattr(tune, "_train", lambda trial, name, *rest: names.append(name) or train(trial, name, *rest))
    search("train.ema=choice(0, 0.9)", trials=6)
    assert len(names) == 2
    assert len(study().trials) == 6
    assert capsys.readouterr().out.count(": as tune-") == 4


def test_a_trial_that_is_stopped_counts_and_is_not_the_best(monkeypatch, capsys) -> None:
    monkeypatch.setattr(tune, "_train", lambda trial, *_: 3 if trial.number else None)
    monkeypatch.setattr(tune, "_val_auc", lambda _: 0.6)
    search(LR, trials=3)
    assert [trial.state for trial in study().trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED]
    said = capsys.readouterr().out
    assert "tune-2: stopped after epoch 3\n" in said
    assert "Trials that came to their end: 1; stopped: 2. The best, tune-0, has a val AUC of 0.6000." in said


def test_a_search_without_a_trial_that_ends_has_no_best(monkeypatch) -> None:
    monkeypatch.setattr(tune, "_train", lambda *_: 0)
    with pytest.raises(SearchError, match="no trial of this search has come to its end"):
        search(LR, trials=2)


def test_trials_that_fail_are_replaced_and_three_in_a_row_end_the_search(monkeypatch, capsys) -> None:
    def failing(which: Callable[[int], bool]) -> None:
        def train(trial, *_) -> None:
            if which(trial.number):
                raise SearchError("failed (no memory); all of it is in a file.")

        monkeypatch.setattr(tune, "_train", train)

    monkeypatch.setattr(tune, "_val_auc", lambda _: 0.6)
    failing(lambda number: number in {0, 1, 3})
    assert search(LR, trials=2) == 0
    assert [trial.state.name for trial in study().trials] == ["FAIL", "FAIL", "COMPLETE", "FAIL", "COMPLETE"]
    assert "tune-3: failed (no memory); all of it is in a file.\n" in capsys.readouterr().out
    failing(lambda _: True)
    with pytest.raises(SearchError, match="3 trials in a row failed"):
        search(LR, trials=9)
    assert len(study().trials) == 8


def test_trials_of_others_are_waited_for_by_nobody_and_those_of_the_dead_are_replaced(capsys) -> None:
    search(LR, trials=1)
    other = study().ask()
    assert search(LR, trials=2) == 0
    assert "Trials that came to their end: 1; stopped: 0; still running elsewhere: 1." in capsys.readouterr().out
    assert len(study().trials) == 2
    begun = other.datetime_start
    assert begun is not None
    assert tune._lives(study().trials[1])
    dead = create_trial(state=TrialState.RUNNING, user_attrs={tune.SEEN: time.time() - tune.DEAD - 1})
    dead.datetime_start = begun - timedelta(days=365)
    study().add_trial(dead)
    assert search(LR, trials=3) == 0
    assert [trial.state.name for trial in study().trials] == ["COMPLETE", "RUNNING", "FAIL", "COMPLETE"]


def test_of_workers_that_ask_at_the_same_time_only_as_many_as_wanted_go_on(monkeypatch) -> None:
    search(LR, trials=1)
    mine, ask = study(), optuna.Study.ask

    def late(self: optuna.Study) -> optuna.Trial:
        monkeypatch.setattr(optuna.Study, "ask", ask)
        study().ask()  # another worker was as far, and asks first
        return self.ask()

    monkeypatch.setattr(optuna.Study, "ask", late)
    assert tune._next(mine, 2) is None
    assert [trial.state.name for trial in study().trials] == ["COMPLETE", "RUNNING", "FAIL"]
    assert tune._next(mine, 3) is not None


def test_parameters_that_change_in_between_end_the_search(project, monkeypatch) -> None:
    monkeypatch.setattr(tune, "_val_auc", lambda _: 0.5)
    monkeypatch.setattr(
        tune, "_train", lambda *_: override_params(project / "params.yaml", {"train.weight_decay": 0.3})
    )
    with pytest.raises(SearchError, match=r"tune began from another params\.yaml or split"):
        search(LR, trials=2)
    assert len(study().trials) == 1


def test_another_search_of_that_name_is_not_joined() -> None:
    search(LR, trials=1)
    with pytest.raises(SearchError, match="--study: tune searches other parameters; give this search another name"):
        search(EMA, trials=1)
    override_params(Path("params.yaml"), {"train.weight_decay": 0.3})
    with pytest.raises(SearchError, match=r"--study: tune began from another params\.yaml or split"):
        search(LR, trials=1)
    override_params(Path("params.yaml"), {"train.weight_decay": 0.01})
    Path("data/splits.csv").write_text("another table\n")
    with pytest.raises(SearchError, match="began from another"):
        search(LR, trials=1)
    search(LR, trials=1, name="another")


def test_a_new_search_does_not_take_the_names_of_experiments_that_there_are(monkeypatch) -> None:
    search(LR, trials=1)
    monkeypatch.setattr(tune, "_experiments", lambda: {"tune-0", "tune-0-1", "tune-best", "other-0"})
    search(LR, trials=2)  # goes on with its own
    search(LR, trials=1, name="tune-best")
    with pytest.raises(SearchError, match="--study: other-0 is an experiment of an earlier search called other, whose"):
        search(LR, trials=1, name="other")


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://ann:secret@127.0.0.1:1/none",
        "nonsense://ann:secret@host/none",
        "mysql://ann:secret@127.0.0.1:1/none",
    ],
)
def test_a_storage_that_cannot_be_used_is_named_without_its_password(place: str) -> None:
    with pytest.raises(SearchError) as raised:
        search(LR, trials=1, storage=place)
    assert str(raised.value).startswith(f"--storage: {place.partition(':')[0]}://***@")
    assert "secret" not in str(raised.value)


def test_of_two_workers_that_make_a_database_at_once_both_go_on(project, monkeypatch) -> None:
    open_, failures = (
        tune.RDBStorage,
        iter([IntegrityError("", {}, ValueError()), ProgrammingError("", {}, ValueError())]),
    )

    def opened(place: str, **named) -> RDBStorage:
        if (error := next(failures, None)) is not None:
            raise error
        return open_(place, **named)

    monkeypatch.setattr(tune, "RDBStorage", opened)
    assert search(LR, trials=1, storage=f"sqlite:///{project}/shared.db") == 0


def test_workers_share_a_database(project) -> None:
    place = f"sqlite:///{project}/shared.db"
    search(LR, trials=2, storage=place)
    search(LR, trials=3, storage=place)
    assert len(optuna.load_study(study_name="tune", storage=place).trials) == 3


def test_a_storage_that_is_lost_in_between_ends_the_search_with_a_sentence(project, monkeypatch) -> None:
    place = project / "shared.db"

    def lose(*_) -> None:
        place.write_bytes(b"no database" * 1000)

    monkeypatch.setattr(tune, "_train", lose)
    monkeypatch.setattr(tune, "_val_auc", lambda _: 0.5)
    with pytest.raises(SearchError, match=r"--storage: sqlite:///.*shared\.db cannot be used"):
        search(LR, trials=2, storage=f"sqlite:///{place}")


@pytest.mark.parametrize("content", [b"s3cr3t", b"No trials.\n" * 9, b"3", b"[]", b"\xff\x00", b"{}\n"])
def test_a_file_of_something_else_is_left_as_it_is(content: bytes, project) -> None:
    (project / "tune.password").write_bytes(content)
    with pytest.raises(SearchError, match=r"--storage: tune\.password is not a file of trials"):
        search(LR, trials=1, storage="tune.password")
    assert (project / "tune.password").read_bytes() == content


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("/dev/null", "/dev/null is not a file of trials"),
        ("", r"\. is not a file of trials"),
        ("shard/lr.log", "shard does not exist"),
        (
            "postgresql://ann:secret@host:abc/none",
            r"postgresql://\*\*\*@host:abc/none is not the address of a database",
        ),
    ],
)
def test_a_place_where_no_trials_can_be_is_named(place: str, problem: str) -> None:
    with pytest.raises(SearchError, match=f"^--storage: {problem}\\.$"):
        search(LR, trials=1, storage=place)
    assert not Path("shard").exists()


def test_a_search_begins_from_parameters_that_are_committed(monkeypatch) -> None:
    monkeypatch.setattr(tune, "_uncommitted", lambda: True)
    with pytest.raises(SearchError, match=r"params\.yaml has changes that are not committed"):
        search(LR, trials=1)


def test_a_search_outside_of_a_git_repository_is_one_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(SearchError, match=r"^a search needs a Git repository with a commit; "):
        tune._uncommitted()


def test_a_worker_that_was_taken_for_dead_does_not_speak_up_again(monkeypatch, capsys) -> None:
    def bury(trial, *_) -> None:
        if trial.number < 2:
            study().tell(trial.number, state=TrialState.FAIL)
        if trial.number == 1:
            trial.report(0.5, 0)

    def bury_at_once(self: Space, trial: optuna.Trial) -> dict[str, object]:
        if trial.number == 2:
            study().tell(2, state=TrialState.FAIL)
        return suggest(self, trial)

    suggest = Space.suggest
    monkeypatch.setattr(Space, "suggest", bury_at_once)
    monkeypatch.setattr(tune, "_train", bury)
    monkeypatch.setattr(tune, "_val_auc", lambda _: 0.5)
    assert search(LR, trials=1) == 0
    assert [trial.state.name for trial in study().trials] == ["FAIL", "FAIL", "FAIL", "COMPLETE"]
    said = capsys.readouterr().out
    assert "tune-0: val AUC 0.5000; this worker was taken for dead, so the search does not count it\n" in said
    assert said.count("given up, as this worker was taken for dead, so the search does not count it\n") == 2
    assert "Trials that came to their end: 1" in said


def test_an_interrupted_worker_takes_its_trial_back(monkeypatch) -> None:
    def interrupted(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(LR, trials=1)
    assert [trial.state for trial in study().trials] == [TrialState.FAIL]


def test_bad_arguments_end_with_a_sentence(capfd) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tune", "train.lr=0.1"])
    assert ended.value.code == 1
    assert capfd.readouterr().err.startswith("dermascreen tune: train.lr=0.1 leaves nothing to choose")
    with pytest.raises(SystemExit) as ended:
        main(["tune", LR, "--study", "a/b"])
    assert ended.value.code == 2
    assert "a/b is not a name of letters, digits, - and _" in capfd.readouterr().err
