"""Server settings: every value is checked, explained and printable; the command line wins."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import RequestError
from backend.settings import Settings

NUMBERS = [item for item in fields(Settings) if isinstance(item.default, int)]
numbers = st.sampled_from(NUMBERS)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@given(numbers, st.data())
def test_every_number_within_its_limits_is_taken(item: object, data: st.DataObject) -> None:
    value = data.draw(st.integers(item.metadata["low"], item.metadata["high"]))
    assert getattr(Settings.from_args([f"{flag(item.name)}={value}"], {}), item.name) == value
    assert getattr(Settings.from_args([], {f"UNMASK_{item.name.upper()}": str(value)}), item.name) == value


@given(numbers, st.integers(-(10**9), 10**9))
def test_every_number_outside_its_limits_is_refused_with_them(item: object, value: int) -> None:
    low, high = item.metadata["low"], item.metadata["high"]
    if low <= value <= high:
        return
    with pytest.raises(RequestError) as refused:
        Settings.from_args([f"{flag(item.name)}={value}"], {})
    assert f"{item.name}: {value} is outside {low} to {high}" in str(refused.value)


@given(numbers, st.text(min_size=1, max_size=8).filter(lambda text: not text.strip().lstrip("+-").replace("_", "").isdecimal()))
def test_what_is_no_number_is_refused_with_the_limits(item: object, text: str) -> None:
    with pytest.raises(RequestError, match="is not a whole number"):
        Settings.from_args([], {f"UNMASK_{item.name.upper()}": text})


def test_every_wrong_value_is_reported_at_once() -> None:
    with pytest.raises(RequestError) as refused:
        Settings.from_args(["--port=0", "--max-running=x"], {"UNMASK_KEPT_RUNS": "0", "UNMASK_ENGINE": "steam"})
    assert {problem.field for problem in refused.value.problems} == {"port", "max_running", "kept_runs", "engine"}


def test_the_command_line_wins_over_the_environment() -> None:
    assert Settings.from_args(["--port", "8001"], {"UNMASK_PORT": "8002"}).port == 8001
    assert Settings.from_args([], {"UNMASK_PORT": "8002"}).port == 8002
    assert Settings.from_args([], {}) == Settings()


def test_every_setting_says_its_value_range_and_meaning() -> None:
    said = Settings().describe()
    for item in fields(Settings):
        assert item.name in said and item.metadata["help"] in said
    assert "1 to 65535" in said


def test_an_option_that_does_not_exist_ends_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Settings.from_args(["--modle", "x"], {})
    assert ended.value.code == 2 and "--modle" in capsys.readouterr().err


@pytest.mark.parametrize("item", NUMBERS, ids=lambda item: item.name)
def test_every_limit_holds_at_its_ends_on_the_command_line_and_in_the_environment_and_is_printed(item: object) -> None:
    low, high = item.metadata["low"], item.metadata["high"]
    for value in (low, high):
        for given in (Settings.from_args([flag(item.name), str(value)], {}), Settings.from_args([], {f"UNMASK_{item.name.upper()}": str(value)})):
            assert getattr(given, item.name) == value
            line = next(line for line in given.describe().splitlines() if line.split(" = ")[0].strip() == item.name)
            assert line.split(" = ")[1].split()[0] == str(value) and f"{low} to {high}" in line and item.metadata["help"] in line
    for value in (low - 1, high + 1):
        for argv, environment in (([f"{flag(item.name)}={value}"], {}), ([], {f"UNMASK_{item.name.upper()}": str(value)})):
            with pytest.raises(RequestError, match=f"{item.name}: {value} is outside {low} to {high}; give a value in that range"):
                Settings.from_args(argv, environment)


CHOICES = [item for item in fields(Settings) if item.metadata["choices"]]


@pytest.mark.parametrize("item", CHOICES, ids=lambda item: item.name)
def test_every_choice_is_taken_and_nothing_else(item: object) -> None:
    for choice in item.metadata["choices"]:
        assert getattr(Settings.from_args([flag(item.name), choice], {}), item.name) == choice
    for wrong in ("", "nothing", item.metadata["choices"][0] + "x"):
        with pytest.raises(RequestError, match="is not a choice; choose one of"):
            Settings.from_args([f"{flag(item.name)}={wrong}"], {})


def test_a_login_is_never_printed() -> None:
    given = Settings.from_args(["--auth", "ada:engine-of-1843"], {})
    assert given.auth == "ada:engine-of-1843"
    for said in (given.describe(), repr(given), str(given)):
        assert "1843" not in said and "ada" not in said
    assert "auth = (given)" in given.describe() and "auth = (none)" in Settings().describe()


def test_what_nobody_asked_for_is_off() -> None:
    quiet = Settings()
    assert (quiet.host, quiet.metrics, quiet.auth, quiet.engine) == ("127.0.0.1", "off", "", "local")
