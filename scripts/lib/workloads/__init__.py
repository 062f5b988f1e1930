"""Workloads for members under faults, each with the judge of its own history."""

from workloads import collection, ephemeral, fifo, lock, register, watch

ALL = {workload.name: workload for workload in (register.Registers, collection.Sets, lock.Locks, ephemeral.Ephemerals,
                                                watch.Watches, fifo.Fifo)}
SELF_TESTS = {module.__name__.rsplit(".", 1)[1]: module.self_test
              for module in (register, collection, lock, ephemeral, watch, fifo)}
