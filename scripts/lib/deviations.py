"""Where Conclave answers otherwise than ZooKeeper on purpose: each deviation with the rule that tells it."""

from compare import NOTHING
from jute import END_OF_MULTI

MARSHALLING_ERROR = -5


def as_java(value):
    """Returns text as the reference writes what it has read: U+FFFD for what is no UTF-8, surrogates apart."""
    if not isinstance(value, str):
        return value
    read = value.encode(errors="surrogateescape").decode(errors="replace")
    units = read.encode("utf-16-be", "surrogatepass")
    written = b"".join(units[at:at + 2].decode("utf-16-be", "surrogatepass").encode(errors="surrogatepass")
                       for at in range(0, len(units), 2))
    return written.decode(errors="surrogateescape")


def is_forgotten_check(_request, theirs, ours):
    """Whether it is the answer to a check that holds, and the reference has none."""
    return theirs is NOTHING and ours.verb == "check" and ours.err == 0 and not ours.facts


def is_echo(_request, theirs, ours):
    """Whether both hold a text that was sent, and the reference's holds it as Java writes it."""
    if (theirs.kind, theirs.xid, theirs.verb, theirs.err) != (ours.kind, ours.xid, ours.verb, ours.err):
        return False
    left, right = ([fact.value for fact in answer.facts] for answer in (theirs, ours))
    return left != right and left == [as_java(value) for value in right]


def is_needless_body(_request, theirs, ours):
    """Whether both refuse a multi or multiRead as a whole, and the reference sends results all the same."""
    if theirs.verb != ours.verb or not theirs.err == ours.err == MARSHALLING_ERROR or ours.facts:
        return False
    return len(theirs.facts) == 1 and theirs.facts[0].value.endswith(END_OF_MULTI.hex())


def is_root_itself(request, theirs, ours):
    """Whether the descendants of the root were counted by its other name."""
    is_count = theirs.verb == ours.verb == "getAllChildrenNumber" and theirs.err == ours.err == 0
    return is_count and request.fields["path"] == "" and theirs.facts[0].value == ours.facts[0].value + 1


def is_check_of_no_path(request, theirs, ours):
    """Whether it was asked who watches what does not begin with a slash."""
    if theirs.verb != "checkWatches" or ours.verb != "checkWatches":
        return False
    path = request.fields["path"]
    return not path or path[:1] not in ("/", b"/")


# What is not here ends the test. `protocol/COMPATIBILITY.md` argues for each.
DEVIATIONS = [
    ("a check outside a multi that holds is answered; the reference forgets it, and its client waits for ever",
     is_forgotten_check),
    ("a path that no znode can have is echoed as it came; the reference gives what Java makes of it", is_echo),
    ("a multi or multiRead refused as a whole has no body; the reference may send results, which no client reads",
     is_needless_body),
    ("checkWatches takes any text for a path; the reference stumbles over some that are none, by what else is watched",
     is_check_of_no_path),
    ("the empty path is the root for getAllChildrenNumber, too; the reference counts the root itself then",
     is_root_itself),
]


def excuse(request, theirs, ours):
    """Returns why two answers to a request may differ, or None."""
    return next((reason for reason, applies in DEVIATIONS if applies(request, theirs, ours)), None)
