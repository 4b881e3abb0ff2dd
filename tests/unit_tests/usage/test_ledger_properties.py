"""The ledger agrees with a simple model of it, in whatever order calls start and end."""

from threading import Thread
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import VoxtralBudgetExceededError
from langchain_voxtral.usage.ledger import Call, Reservation, UsageLedger
from langchain_voxtral.usage.sums import VoxtralUsage

PART = 16
"""Parts of a dollar, which floats add up exactly."""

Step = tuple[int, int | None, int]
"""A call: what it is expected to cost, what it costs if that is known, and how many calls start
before it ends."""

COSTS = st.integers(0, PART)
STEPS = st.lists(st.tuples(COSTS, st.none() | COSTS, st.integers(1, 5)), max_size=20)


def usage_of(cost: int | None) -> VoxtralUsage:
    if cost is None:
        return VoxtralUsage(requests=1, requests_without_cost=1)
    return VoxtralUsage(requests=1, cost_usd=cost / PART)


@given(steps=STEPS, limit=st.integers(0, 4 * PART))
def test_a_call_is_refused_only_if_there_is_no_room_for_it(steps: list[Step], limit: int) -> None:
    ledger = UsageLedger(limit / PART)
    taken: dict[int, int] = {}
    ends: dict[int, list[int]] = {}
    calls: list[Reservation] = []  # as LangChain has them until they end
    for place, (expected, _, length) in enumerate(steps):
        for ending in ends.pop(place, []):
            planned, cost, _ = steps[ending]
            usage = usage_of(cost)
            ledger.finish(UUID(int=ending), lambda _, usage=usage: usage, is_answered=True)  # type: ignore[misc]
            taken[ending] = planned if cost is None else cost
        is_room = sum(taken.values()) + expected <= limit
        call = Call("m", expected / PART)
        reservation = Reservation(call)
        try:
            ledger.reserve(reservation)
        except VoxtralBudgetExceededError:
            assert not is_room
        else:
            assert is_room
            ledger.start(UUID(int=place), call, reservation)
            calls.append(reservation)
            taken[place] = expected
            ends.setdefault(place + length, []).append(place)
    ended = taken.keys() - {place for places in ends.values() for place in places}
    expected_sum = sum((usage_of(steps[place][1]) for place in ended), VoxtralUsage())
    assert ledger.sums.get("m", VoxtralUsage()) == expected_sum


def test_a_run_that_ends_while_another_is_added_is_added_too_and_nothing_hangs() -> None:
    """Garbage is collected at any allocation, and closes the streams in it."""
    ledger = UsageLedger(1.0)

    def finish(number: int) -> None:
        ledger.finish(UUID(int=number), lambda _: usage_of(1), is_answered=True)

    class Collecting(Call):
        """Ends the other run whenever the ledger reads the model."""

        def __getattribute__(self, name: str) -> Any:
            if name == "model":
                finish(2)
            return super().__getattribute__(name)

    ledger.start(UUID(int=1), Collecting("m"))
    ledger.start(UUID(int=2), Call("m"))
    thread = Thread(target=finish, args=(1,), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert ledger.sums == {"m": usage_of(1) + usage_of(1)}
