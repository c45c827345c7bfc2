"""A first snapshot of a large database against `zstd -3 -T0` on the same file.

Both read the database from the page cache, and both are timed as whole processes. `cairn snapshot` into an empty store
also hashes every page, claims the replica, and syncs what it has written; so `zstd` is followed by `sync`, and once
more measured without.
"""
import glob
import os

from measure.figures import Values
from measure.machine import Timed, settle_disk, warm


def compress(database, folder, then=""):
    target = os.path.join(folder, "peer.zst")
    settle_disk()
    timed = Timed(["sh", "-c", f'zstd -q -f -3 -T0 -c "$0" > "$1" {then}', database, target])
    return timed, os.path.getsize(target)


def take_snapshot(bench, database, folder):
    store = os.path.join(folder, "store")
    settle_disk()
    timed = Timed([bench.cairn, "snapshot", database, "--to", store, "--state-dir", os.path.join(folder, "state")])
    return timed, os.path.getsize(glob.glob(os.path.join(store, "snapshots", "*.zst"))[0])


def run(bench, printer):
    printer.title(f"snapshot: a database of {bench.large_mib} MiB")
    database = bench.database(bench.large_mib)
    megabytes = os.path.getsize(database) / 1e6
    zstd, zstd_unsynced, cairn = Values(), Values(), Values()
    zstd_cpu, cairn_cpu = Values(), Values()
    sizes = {}
    warm(database)
    for number in range(bench.runs + 1):
        if number == 1:  # the first round only makes the machine's memory its own
            for values in (zstd, zstd_unsynced, cairn, zstd_cpu, cairn_cpu):
                values.clear()
        folder = bench.folder("snapshot")
        timed, sizes["zstd"] = compress(database, folder, then='&& sync "$1"')
        zstd.add(megabytes / timed.seconds)
        zstd_cpu.add(timed.cpu_seconds)
        timed, sizes["cairn"] = take_snapshot(bench, database, folder)
        cairn.add(megabytes / timed.seconds)
        cairn_cpu.add(timed.cpu_seconds)
        timed, _ = compress(database, bench.folder("snapshot"))
        zstd_unsynced.add(megabytes / timed.seconds)
    printer.compare("snapshot", "MB/s", "zstd -3 -T0, then sync", zstd, "cairn snapshot", cairn, aim="at least 0.9")
    printer.compare("snapshot, zstd without sync", "MB/s", "zstd -3 -T0", zstd_unsynced, "cairn snapshot", cairn)
    printer.compare("snapshot, CPU", "s", "zstd -3 -T0, then sync", zstd_cpu, "cairn snapshot", cairn_cpu)
    printer.note(f"of {megabytes:.0f} MB, zstd leaves {sizes['zstd'] / 1e6:.1f} MB, "
                 f"cairn {sizes['cairn'] / 1e6:.1f} MB")
