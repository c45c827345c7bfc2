"""A restore of a large snapshot against `zstd -dc` of the same object to a file, followed by sync.

Both read the snapshot from the page cache, write a new file and sync it. Cairn also checks every page's hash and the
hash of the whole database.
"""
import glob
import os

from measure.figures import Values
from measure.machine import Timed, settle_disk, warm


def run(bench, printer):
    printer.title(f"restore: a snapshot of {bench.large_mib} MiB")
    database = bench.database(bench.large_mib)
    megabytes = os.path.getsize(database) / 1e6
    folder = bench.folder("restore")
    store = os.path.join(folder, "store")
    Timed([bench.cairn, "snapshot", database, "--to", store, "--state-dir", os.path.join(folder, "state")])
    snapshot = glob.glob(os.path.join(store, "snapshots", "*.zst"))[0]
    warm(snapshot)
    zstd, cairn, zstd_cpu, cairn_cpu = Values(), Values(), Values(), Values()
    by_zstd, by_cairn = os.path.join(folder, "zstd.db"), os.path.join(folder, "cairn.db")
    for number in range(bench.runs + 1):
        if number == 1:  # the first round only makes the machine's memory its own
            for values in (zstd, cairn, zstd_cpu, cairn_cpu):
                values.clear()
        settle_disk()
        timed = Timed(["sh", "-c", 'zstd -q -f -dc "$0" > "$1" && sync "$1"', snapshot, by_zstd])
        zstd.add(megabytes / timed.seconds)
        zstd_cpu.add(timed.cpu_seconds)
        settle_disk()
        timed = Timed([bench.cairn, "restore", store, "-o", by_cairn])
        cairn.add(megabytes / timed.seconds)
        cairn_cpu.add(timed.cpu_seconds)
        Timed(["cmp", by_zstd, by_cairn])
        os.remove(by_zstd)
        os.remove(by_cairn)
    printer.compare("restore", "MB/s", "zstd -dc, then sync", zstd, "cairn restore", cairn, aim="at least 1.2")
    printer.compare("restore, CPU", "s", "zstd -dc, then sync", zstd_cpu, "cairn restore", cairn_cpu)
