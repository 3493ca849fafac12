"""Errors are sentences: what, the value, the limit, what to do."""

from __future__ import annotations

import pytest

from backend.errors import AppError, BusyError, CapabilityError, ModelError, Problem, RequestError, RunFileError


def test_an_error_reads_as_one_paragraph_with_its_remedy() -> None:
    error = AppError("The port is taken.", "Choose another.")
    assert str(error) == "The port is taken. Choose another."
    assert (error.message, error.remedy) == ("The port is taken.", "Choose another.")
    assert str(AppError("No more.")) == "No more."


def test_a_request_error_lists_every_wrong_field() -> None:
    error = RequestError([Problem("length", "0 is out of range."), Problem("seed", "-1 is out of range.")])
    assert str(error) == "length: 0 is out of range. seed: -1 is out of range."
    assert [problem.field for problem in error.problems] == ["length", "seed"]


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    kinds = [AppError, ModelError, RunFileError, BusyError, CapabilityError, RequestError]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(issubclass(kind, AppError) for kind in kinds)


@pytest.mark.parametrize("kind", [ModelError, RunFileError, BusyError, CapabilityError])
def test_a_visitor_can_be_shown_any_of_them(kind: type[AppError]) -> None:
    with pytest.raises(AppError, match="^What. Remedy.$"):
        raise kind("What.", "Remedy.")
