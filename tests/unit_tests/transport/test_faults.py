"""Every fault of the table in every call mode; `make faults` prints it."""

import gc
from collections.abc import Iterator

import pytest
from support.faults.runner import CALL_MODES, CallMode, Case, run_case
from support.faults.table import FAULTS


@pytest.fixture(scope="module", autouse=True)
def _no_open_sockets() -> Iterator[None]:
    """Make Python warn of sockets that a fault left open."""
    yield
    gc.collect()


@pytest.mark.parametrize(
    ("case", "way"),
    [
        pytest.param(case, way, id=f"{fault.name}: {way} {case.outcome.verdict()}")
        for fault in FAULTS
        for way in CALL_MODES
        if (case := way.case(fault)) is not None
    ],
)
def test_a_fault_has_the_outcome_of_the_table(case: Case, way: CallMode) -> None:
    assert run_case(case, way) == case.outcome


def test_no_fault_occurs_twice_in_the_table() -> None:
    names = [fault.name for fault in FAULTS]
    assert sorted(names) == sorted(set(names))
