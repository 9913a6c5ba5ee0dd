"""A daily limit on the tokens that thinking may use."""

from collections.abc import Callable
from datetime import UTC, date, datetime


def today() -> date:
    """Return the day by UTC."""
    return datetime.now(UTC).date()


class DailyBudget:
    """`tokens` per day for all thinking of a host, input and output. None sets no limit.

    A call counts when it returns, whatever becomes of its pass. A call that is cut off does not count.
    """

    def __init__(self, tokens: int | None, day: Callable[[], date] = today) -> None:
        self._tokens = tokens
        self._today = day
        self._day = day()
        self._spent = 0

    @property
    def is_spent(self) -> bool:
        """Whether thinking has to wait for tomorrow."""
        self._start_new_day()
        return self._tokens is not None and self._spent >= self._tokens

    def spend(self, tokens: int) -> None:
        """Count what a call took."""
        self._start_new_day()
        self._spent += tokens

    def _start_new_day(self) -> None:
        if self._day != self._today():
            self._day, self._spent = self._today(), 0
