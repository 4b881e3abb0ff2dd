"""`UsageLedger`: the sums of calls that have ended, and what is kept for those in flight."""

from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple
from uuid import UUID
from weakref import ReferenceType, WeakKeyDictionary, ref

from langchain_voxtral.errors import VoxtralBudgetExceededError
from langchain_voxtral.usage.sums import VoxtralUsage, dollars

_PICKLED = ("_sums", "_spent", "_dearest", "_unpriced")

_UNPRICED = (
    "what a call of {} cost is not known, because its server did not tell. Use a server that "
    "reports costs (for transcriptions price_per_minute= will do), or leave max_cost_usd out."
)
_ENDED_EARLY = (
    "what a call of {} cost is not known, because it ended early, before another one had told what "
    "such calls cost. Count in a new block whose first call ends, or leave max_cost_usd out."
)


@dataclass(frozen=True, slots=True)
class Call:
    """A call to come or in flight.

    Args:
        model: The model that is asked.
        expected_usd: US dollars that it will cost, if that is known beforehand.
        prompts: How many prompts are told the error of the first that fails.
        is_transcription: Whether a recording is transcribed. That costs otherwise than a chat of
            the same model.
    """

    model: str
    expected_usd: float | None = None
    prompts: int = 1
    is_transcription: bool = False

    @property
    def kind(self) -> tuple[str, bool]:
        """What it has in common with calls that cost about as much."""
        return self.model, self.is_transcription


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Reservation:
    """What is kept for a call from its entry until its runs have ended.

    It ends with the object at the latest: LangChain starts no run for a stream that nobody reads,
    and ends none whose start was cancelled.

    Args:
        call: The call.
        runs: How many runs it will have.
    """

    call: Call
    runs: int = 1


class _Ended(NamedTuple):
    """A run that has ended, and what it used."""

    call: Call
    whose: ReferenceType[Reservation] | None
    usage: VoxtralUsage
    is_answered: bool


class UsageLedger:
    """Sums what calls used, from any threads, and refuses those that a budget cannot hold.

    Args:
        max_cost_usd: The budget in US dollars; None for no limit.
    """

    def __init__(self, max_cost_usd: float | None) -> None:
        self.max_cost_usd = max_cost_usd
        self._lock = Lock()
        self._sums: dict[str, VoxtralUsage] = {}
        self._reserved: WeakKeyDictionary[Reservation, int] = WeakKeyDictionary()
        self._in_flight: dict[UUID, tuple[Call, ReferenceType[Reservation] | None]] = {}
        self._ended: deque[_Ended] = deque()  # to be added
        self._spent = 0.0  # with what is assumed for calls of unknown cost
        self._dearest: dict[tuple[str, bool], float] = {}  # by the kind of calls
        self._unpriced: str | None = None  # why the budget cannot be kept

    def __deepcopy__(self, memo: object) -> "UsageLedger":
        """Return the ledger itself: copies of a model, with its callbacks, count together."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the sums for another process, without what is in flight in this one."""
        with self._lock:
            self._add_ended()
            state = {name: copy(getattr(self, name)) for name in _PICKLED}
        return UsageLedger, (self.max_cost_usd,), state

    @property
    def sums(self) -> dict[str, VoxtralUsage]:
        """What the calls of each model used that have ended."""
        with self._lock:
            self._add_ended()
            return dict(self._sums)

    def reserve(self, reservation: Reservation) -> None:
        """Keep what a call is expected to cost, once, or refuse it.

        Raises:
            VoxtralBudgetExceededError: The budget cannot hold it, or could not be kept.
        """
        with self._lock:
            self._add_ended()
            if reservation not in self._reserved:  # else several handlers have this ledger
                self._check(reservation.call, reservation.runs)
                self._reserved[reservation] = reservation.runs

    def release(self, reservation: Reservation) -> None:
        """Keep nothing for the runs of a call that have not ended: LangChain is done with it."""
        with self._lock:
            self._reserved.pop(reservation, None)

    def start(self, run_id: UUID, call: Call, reservation: Reservation | None = None) -> None:
        """Note a run of a call; it may be told twice, by a block and a callback."""
        # A garbage collector that closes a stream takes the reservation first.
        whose = ref(reservation) if reservation is not None else None
        self._in_flight.setdefault(run_id, (call, whose))

    def finish(
        self, run_id: UUID, read_usage: Callable[[Call], VoxtralUsage], *, is_answered: bool
    ) -> None:
        """Add what a call used, unless it was not started here or has been added.

        A garbage collector that closes a stream may call this while the thread has the lock: so
        it is not waited for, and who has it or comes next adds the call.
        """
        started = self._in_flight.pop(run_id, None)
        if started is None:
            return
        call, whose = started
        self._ended.append(_Ended(call, whose, read_usage(call), is_answered))
        if self._lock.acquire(blocking=False):
            try:
                self._add_ended()
            finally:
                self._lock.release()

    def _add_ended(self) -> None:
        while self._ended:
            ended = self._ended.popleft()
            call, usage = ended.call, ended.usage
            reservation = ended.whose() if ended.whose else None
            if reservation is not None and reservation in self._reserved:
                self._reserved[reservation] -= 1
            if usage != VoxtralUsage():
                self._sums[call.model] = self._sums.get(call.model, VoxtralUsage()) + usage
                self._charge(call, usage, is_answered=ended.is_answered)

    def _charge(self, call: Call, usage: VoxtralUsage, *, is_answered: bool) -> None:
        """Take from the budget what a call cost; what was expected where that is not known."""
        cost = usage.cost_usd
        if usage.requests_without_cost:
            expected = self._expect(call)
            if expected is None and not cost:
                self._unpriced = (_UNPRICED if is_answered else _ENDED_EARLY).format(call.model)
            cost = max(cost, expected or 0.0)
        elif usage.requests > usage.failed_requests:
            self._dearest[call.kind] = max(cost, self._dearest.get(call.kind, 0.0))
        self._spent += cost

    def _expect(self, call: Call) -> float | None:
        known = call.expected_usd
        return self._dearest.get(call.kind) if known is None else known

    def _check(self, call: Call, calls: int) -> None:
        if self.max_cost_usd is None:
            return
        limit = "max_cost_usd=" + f"{self.max_cost_usd:.12f}".rstrip("0").rstrip(".")
        if self._unpriced is not None:
            raise VoxtralBudgetExceededError(
                f"{limit} cannot be kept, so nothing was sent: {self._unpriced}"
            )
        # Other threads may drop theirs: items() would be an iteration that they disturb.
        reserved = [one for key in self._reserved.keyrefs() if (one := key()) is not None]
        kept = sum((self._expect(one.call) or 0.0) * self._reserved[one] for one in reserved)
        left = round(self.max_cost_usd - self._spent - kept, 12)  # 0.3 holds 0.1 + 0.2
        expected = self._expect(call)
        if left > 0 if expected is None else expected * calls <= left:
            return
        needs = "an amount that is not known yet" if expected is None else dollars(expected * calls)
        raise VoxtralBudgetExceededError(
            f"{limit} would be passed, so nothing was sent: {dollars(self._spent)} is spent, "
            f"{dollars(kept)} is kept for calls in flight, and the next of {call.model} is "
            f"expected to cost {needs}. Raise max_cost_usd, or count in a new block."
        )
