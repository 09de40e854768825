"""A green run in CI has tested all that it can."""

import pytest
from programs import find_program


def test_a_missing_program_skips_the_test_that_asks_for_it(monkeypatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="none of no-such-program, nor-this is installed"):
        find_program("no-such-program", "nor-this")


def test_in_ci_it_fails_instead(monkeypatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"the scripts in \.ci install what the tests need"):
        find_program("no-such-program")


def test_the_first_that_is_there_is_found() -> None:
    assert find_program("no-such-program", "git").endswith("git")
