"""What every outside test shares: arguments, checks that print themselves, and the verdict.

A test is a function taking the parsed arguments. It calls `check` for each fact and `figure` for
each number; the first failed check ends it. Exit code: 0 passed, 1 failed.
"""

import argparse
import os
import signal
import sys
import time
import traceback

REPO = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


class Failed(Exception):
    """A fact under test that does not hold; the message says which."""


def check(holds, fact):
    """Prints `fact` when it holds and ends the test when it does not."""
    if not holds:
        raise Failed(fact)
    print(f"  ok: {fact}", flush=True)


def require(holds, fact):
    """Is `check` without the line on success, for facts checked thousands of times."""
    if not holds:
        raise Failed(fact)


def figure(name, value):
    """Prints one measured number."""
    print(f"  {name}: {value}", flush=True)


def note(text):
    """Prints one line of progress."""
    print(f"  {text}", flush=True)


def eventually(probe, timeout_s, fact, every_s=0.05):
    """Calls `probe` until it returns something true, and returns that; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        got = probe()
        if got:
            return got
        if time.monotonic() >= deadline:
            raise Failed(f"{fact} (not within {timeout_s} s)")
        time.sleep(every_s)


def parser(doc):
    """Returns an argument parser with what all tests take: --kind, --short and --seed."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--kind", choices=["conclave", "zookeeper"], default="conclave",
                      help="the server under test (default: conclave)")
    made.add_argument("--short", action="store_true", help="a shorter run, as in CI")
    made.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: 1)")
    return made


def _end(signum, _frame):
    # Unwinds the stack, so that every ensemble ends its members.
    raise SystemExit(128 + signum)


def end_on_signals():
    """Makes SIGTERM and SIGHUP unwind the stack instead of ending the process at once."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)


def run(test, arguments):
    """Runs `test(arguments)`, prints its verdict and exits with 0 or 1."""
    end_on_signals()
    name = os.path.relpath(os.path.realpath(sys.argv[0]), REPO)
    print(f"{name} against {arguments.kind}", flush=True)
    started = time.monotonic()
    try:
        test(arguments)
    except Failed as failure:
        print(f"FAILED {name} after {time.monotonic() - started:.1f} s: {failure}", flush=True)
        leave(1)
    except SystemExit as ended:
        print(f"FAILED {name}: told to end", flush=True)
        leave(ended.code if isinstance(ended.code, int) else 1)
    except Exception:  # A test that stumbles has failed, whatever it stumbled over.
        traceback.print_exc()
        print(f"FAILED {name} after {time.monotonic() - started:.1f} s", flush=True)
        leave(1)
    print(f"passed {name} in {time.monotonic() - started:.1f} s", flush=True)
    leave(0)


def leave(code):
    """Exits at once: a client thread that still retries must not keep the process alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def missing(what, package):
    """Ends the process because `what` is not installed, saying where it comes from."""
    print(f"FAILED: {what} is missing; install {package} (.ci/run does)", file=sys.stderr, flush=True)
    os._exit(1)


def skip(reason):
    """Ends the process because this machine cannot run the test; in CI, that is a failure."""
    print(f"{'FAILED' if os.environ.get('CI') else 'SKIPPED'}: {reason}", file=sys.stderr, flush=True)
    os._exit(1 if os.environ.get("CI") else 0)
