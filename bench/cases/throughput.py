"""An application that writes as fast as it can, alone and with a replication beside it."""
from measure.figures import Values
from measure.machine import settle_disk

DATABASE_MIB = 64


def write(bench, folder, sync, replicated):
    database = bench.copy_of_database(DATABASE_MIB, folder)
    settle_disk()
    options = {"seconds": bench.seconds, "sync": sync}
    if not replicated:
        return bench.app("write", database, **options), None
    with bench.replicate(database, folder) as replication:
        replication.wait_until_settled()
        settle_disk()
        written = bench.app("write", database, **options)
        return written, replication.status()


def run(bench, printer):
    for sync in ("normal", "full"):
        printer.title(f"throughput: transactions of 3 rows for {bench.seconds} s, synchronous = {sync}")
        alone, beside, longest_alone, longest_beside = Values(), Values(), Values(), Values()
        lock_p999_ms, lock_max_ms, locks = Values(), Values(), Values()
        for _ in range(bench.runs):
            written, _ = write(bench, bench.folder("throughput"), sync, replicated=False)
            alone.add(written["commits_per_s"])
            longest_alone.add(written["commit_ms"]["p999"])
            written, status = write(bench, bench.folder("throughput"), sync, replicated=True)
            beside.add(written["commits_per_s"])
            longest_beside.add(written["commit_ms"]["p999"])
            if status.get("write_lock_us_p999") is not None:
                lock_p999_ms.add(status["write_lock_us_p999"] / 1000)
            lock_max_ms.add(status["write_lock_us_max"] / 1000)
            locks.add(status["write_lock_count"] / bench.seconds)
        name = f"throughput, {sync}"
        printer.compare(name, "commits/s", "writer alone", alone, "writer beside cairn", beside, aim="at least 0.95")
        printer.compare(f"{name}: 99.9th percentile of a transaction", "ms", "writer alone", longest_alone,
                        "writer beside cairn", longest_beside, ratio="b-a")
        printer.single(f"{name}: write lock held, 99.9 %", "ms", lock_p999_ms, aim="under 20")
        printer.single(f"{name}: write lock held, longest", "ms", lock_max_ms)
        printer.single(f"{name}: write lock taken", "times/s", locks)
