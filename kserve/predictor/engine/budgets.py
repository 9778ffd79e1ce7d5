"""What all requests together may hold: a share of it may be as large as what it leaves free for the others.

So however many clients want as much as they can get, there is room left for a small request: of `n` greedy clients each
ends with `limit / (n + 1)`, as much stays free, and another one may have half of it.
"""


def fits(amount: int, others: int, limit: int) -> bool:
    """Whether a request may hold `amount` besides the other requests; alone, it may hold everything."""
    return others + 2 * amount <= limit or (others == 0 and amount <= limit)


class Budget:
    """An amount that the requests of a process share; for the event loop's thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def share(self) -> "Share":
        """Return a share that holds nothing yet."""
        return Share(self)


class Share:
    """What one request holds of a budget; give it back with `release`."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.amount = 0

    def grow(self, by: int) -> bool:
        """Hold more; False, and nothing changes, when that is not left."""
        others = self._budget.used - self.amount
        if not fits(self.amount + by, others, self._budget.limit):
            return False
        self.amount += by
        self._budget.used += by
        return True

    def release(self) -> None:
        """Give everything back."""
        self._budget.used -= self.amount
        self.amount = 0
