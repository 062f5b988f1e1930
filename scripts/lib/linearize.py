"""Whether a history of one register can be explained by operations that each take effect at one moment.

The search of Wing and Gong with the memory that Lowe added: operations are put in an order one by one, an
operation only while nothing that is left was over before it began, and no pair of (what is placed, what the
register holds) is tried twice. An operation without an answer may take effect at any time after it began, or never.

Each write brings a value of its own. So a value that is overwritten never comes back, and a search that overwrites
one that a read has still to see can stop there; that keeps it short.
"""

import collections

READ, WRITE, CAS = "read", "write", "cas"
NEVER = float("inf")
STATES_MAX = 500_000

# `done`: True answered, and took effect; False a CAS that was refused because the register did not hold `expected`;
# None without an answer. `value` is what a read saw and what a write or a CAS brings.
Operation = collections.namedtuple("Operation", "kind expected value done began ended")


class Undecided(Exception):
    """The search has become too long."""


class _Search:
    def __init__(self, history):
        operations = [o for o in history if not (o.kind == READ and o.done is None)]
        self.operations = sorted(operations, key=lambda o: o.began)
        brought = [o.value for o in self.operations if o.kind != READ]
        assert len(brought) == len(set(brought)), "each write brings a value of its own"
        self.must = sum(1 << place for place, o in enumerate(self.operations) if o.done is not None)
        # Whose turn needs the register to hold a value, by value.
        self.observers = collections.defaultdict(int)
        mentioned = set()
        for place, o in enumerate(self.operations):
            needed = o.value if o.kind == READ else o.expected
            if o.kind != WRITE:
                mentioned.add(needed)
                if o.done:
                    self.observers[needed] |= 1 << place
        # Lost writes that nobody has seen only explain refused CASes: any one does, so the first goes first.
        self.unseen = [place for place, o in enumerate(self.operations)
                       if o.kind == WRITE and o.done is None and o.value not in mentioned]
        self.is_unseen = set(self.unseen)

    def _candidates(self, placed):
        """Returns the places of the operations that may be next."""
        left = [place for place in range(len(self.operations)) if not placed >> place & 1]
        # Who is over first of those that must be placed; unanswered ones are never over.
        over = min((self.operations[place].ended for place in left if self.operations[place].done is not None),
                   default=NEVER)
        first_unseen = next((place for place in self.unseen if not placed >> place & 1), None)
        return [place for place in left if self.operations[place].began <= over
                and (place not in self.is_unseen or place == first_unseen)]

    def _after(self, place, placed, state):
        """Returns what the register holds after the operation, or None when it cannot be next."""
        operation = self.operations[place]
        if operation.kind == READ:
            return state if operation.value == state else None
        if operation.kind == CAS and operation.done is False:
            return state if operation.expected != state else None
        if operation.kind == CAS and operation.expected != state:
            return None
        if self.observers[state] & ~placed & ~(1 << place):
            return None
        return operation.value

    def run(self, initial):
        start = (0, initial)
        seen, stack = {start}, [start]
        while stack:
            placed, state = stack.pop()
            if placed & self.must == self.must:
                return True
            for place in reversed(self._candidates(placed)):
                after = self._after(place, placed, state)
                following = (placed | 1 << place, after)
                if after is not None and following not in seen:
                    if len(seen) >= STATES_MAX:
                        raise Undecided(f"more than {STATES_MAX} states for {len(self.operations)} operations")
                    seen.add(following)
                    stack.append(following)
        return False


def is_linearizable(history, initial):
    """Returns whether some order of `history` explains it, for a register that held `initial` (not None) before."""
    return _Search(history).run(initial)
