"""One process of the recipe tests: `recipe_worker.py lock|election HOSTS NAME ROUNDS`."""

import json
import os
import sys
import time

sys.dont_write_bytecode = True


def say(name, event):
    """Prints one step for the test that started this process."""
    print(json.dumps({"name": name, "event": event}), flush=True)


def hold(client, name, path, seconds):
    """Occupies `path` for a while; finding it occupied means that two hold the lock at once."""
    from kazoo.exceptions import NodeExistsError
    try:
        client.create(path, name.encode(), ephemeral=True)
    except NodeExistsError:
        say(name, "violation")
        os._exit(2)
    time.sleep(seconds)


def lock(client, name, rounds):
    """Counts up under the lock, `rounds` times; the read and the write are separate on purpose."""
    held = client.Lock("/lock-test/lock", name)
    for _ in range(rounds):
        with held:
            hold(client, name, "/lock-test/holder", 0.002)
            count, _stat = client.get("/lock-test/counter")
            client.set("/lock-test/counter", b"%d" % (int(count) + 1))
            client.delete("/lock-test/holder")


def election(client, name):
    """Stands for election; once leading, leads until killed."""
    def lead():
        hold(client, name, "/election-test/leader", 0)
        say(name, "leads")
        time.sleep(600)
    client.Election("/election-test/election", name).run(lead)


def main():
    """Runs the recipe named on the command line."""
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
    from zk import connect
    recipe, hosts, name, rounds = sys.argv[1:]
    client = connect(hosts, 4.0)
    if recipe == "lock":
        lock(client, name, int(rounds))
    else:
        election(client, name)
    client.stop()


if __name__ == "__main__":
    main()
