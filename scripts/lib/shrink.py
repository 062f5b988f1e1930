"""Makes a sequence that differs small: leaves out operations until none can be left out any more."""

import time

from operation import simpler


def shrink(operations, differs, limit_s):
    """Returns the smallest part of `operations` found for which `differs(part)` holds, as it does for the whole."""
    deadline = time.monotonic() + limit_s
    size = len(operations)
    while size > 2:
        size = (size + 1) // 2
        operations = _without_any(operations, size, differs, deadline)
    while True:
        before = operations
        operations = _simplified(_without_any(operations, 1, differs, deadline), differs, deadline)
        if operations == before or time.monotonic() >= deadline:
            return operations


def _without_any(operations, size, differs, deadline):
    """Leaves out every piece of `size` operations that is not needed, from the end."""
    end = len(operations)
    while end > 0 and time.monotonic() < deadline:
        rest = operations[:max(0, end - size)] + operations[end:]
        if differs(rest):
            operations = rest
        end -= size
    return operations


def _simplified(operations, differs, deadline):
    """Takes away parts of single operations that are not needed."""
    place = 0
    while place < len(operations) and time.monotonic() < deadline:
        for simple in simpler(operations[place]):
            rest = operations[:place] + [simple] + operations[place + 1:]
            if differs(rest):
                operations = rest
                break
        else:
            place += 1
    return operations
