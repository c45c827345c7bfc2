"""Resident memory of a replication: a large first snapshot, one huge transaction, a minute of writing.

The page hashes are a file in the state directory, mapped: the kernel may drop them from memory at any time, and they
are shown apart.
"""
from measure.figures import Values
from measure.machine import MemoryWatch

TRANSACTION_MIB = 2048
WRITING_S = 60
AIM = "under 64"


def show(printer, name, watch):
    printer.single(f"memory, {name}: beside the page hashes", "MiB", Values([watch.beside]), aim=AIM)
    printer.single(f"memory, {name}: of that, anonymous", "MiB", Values([watch.anonymous]))
    printer.single(f"memory, {name}: page hashes", "MiB", Values([watch.hashes]))
    printer.single(f"memory, {name}: all, by the kernel", "MiB", Values([watch.high_water]))


def run(bench, printer):
    printer.title("memory: the most that is resident, sampled every 50 ms")
    folder = bench.folder("memory")
    database = bench.copy_of_database(bench.large_mib, folder)
    with bench.replicate(database, folder) as replication, MemoryWatch(replication.pid, folder) as watch:
        replication.wait_until_settled()
    show(printer, f"first snapshot of {bench.large_mib} MiB", watch)

    folder = bench.folder("memory")
    database = bench.copy_of_database(16, folder)
    with bench.replicate(database, folder) as replication:
        replication.wait_until_settled()
        with MemoryWatch(replication.pid, folder) as watch:
            bench.app("once", database, mib=TRANSACTION_MIB)
            bench.app("write", database, seconds=1, pause_us=100_000)
            replication.wait_until_settled()
    show(printer, f"one transaction of {TRANSACTION_MIB} MiB", watch)

    folder = bench.folder("memory")
    database = bench.copy_of_database(64, folder)
    with bench.replicate(database, folder) as replication:
        replication.wait_until_settled()
        with MemoryWatch(replication.pid, folder) as watch:
            bench.app("write", database, seconds=WRITING_S)
            replication.wait_until_settled()
    show(printer, f"{WRITING_S} s of writing", watch)
