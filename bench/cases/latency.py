"""From a commit after quiet to its segment's name in the directory store."""
import os

from measure.figures import Values
from measure.machine import settle_disk

COMMITS = 10
SEGMENT_BYTES = 1500


def run(bench, printer):
    printer.title(f"latency: {bench.runs} x {COMMITS} commits, each after 1.5 s of quiet")
    put, first_fsync, published, published_p99, commit = Values(), Values(), Values(), Values(), Values()
    for _ in range(bench.runs):
        folder = bench.folder("latency")
        database = bench.copy_of_database(16, folder)
        settle_disk()
        disk = bench.app("put", bench.folder("latency-disk"), bytes=SEGMENT_BYTES, count=COMMITS, pause_ms=500)
        put.add(disk["put_ms"]["median"])
        first_fsync.add(disk["first_fsync_ms"]["median"])
        with bench.replicate(database, folder) as replication:
            bench.app("write", database, seconds=1, pause_us=100_000)  # so that the folder of segments is there
            replication.wait_until_settled()
            seen = bench.app("quiet", database, watch=os.path.join(replication.store, "wal"), count=COMMITS)
        published.add(seen["published_ms"]["median"])
        published_p99.add(seen["published_ms"]["max"])
        commit.add(seen["commit_ms"]["median"])
    printer.compare("commit to published, median", "ms", "a put of 1.5 kB alone", put, "commit to published", published,
                    aim="B under 10", ratio="b-a")
    printer.single("commit to published, slowest of a run", "ms", published_p99)
    printer.single("the commit itself, median", "ms", commit)
    printer.single("of the put: file written and synced", "ms", first_fsync)
