"""An application that checkpoints for itself, with a busy time-out of 5 s: how long it waits, alone and beside Cairn.

FULL, RESTART and TRUNCATE hold the write lock while they wait for readers, so what they wait for Cairn, every writer
waits. Once with the checkpointing connection alone, once with a second connection that commits all the while.
"""
from measure.figures import Values
from measure.machine import settle_disk

COUNT = 60
COMMITS = 50


def checkpoint(bench, folder, mode, writer, replicated):
    database = bench.copy_of_database(16, folder)
    settle_disk()
    options = {"mode": mode, "count": COUNT, "commits": COMMITS, "writer": writer}
    if not replicated:
        return bench.app("checkpoints", database, **options)
    with bench.replicate(database, folder) as replication:
        replication.wait_until_settled()
        return bench.app("checkpoints", database, **options)


def run(bench, printer):
    for writer in ("no", "yes"):
        beside = ", beside a second writer" if writer == "yes" else ""
        for mode in ("full", "restart", "truncate"):
            printer.title(f"checkpoints: {mode}, {COUNT} a run, one every {COMMITS} commits{beside}")
            sides = {key: (Values(), Values()) for key in ("median", "p99", "max")}
            busy = (Values(), Values())
            for _ in range(bench.runs):
                for side, replicated in enumerate((False, True)):
                    seen = checkpoint(bench, bench.folder("checkpoints"), mode, writer, replicated)
                    for key, values in sides.items():
                        values[side].add(seen["checkpoint_ms"][key])
                    busy[side].add(seen["busy"])
            for key, (alone, with_cairn) in sides.items():
                printer.compare(f"checkpoint {mode}{beside}, {key}", "ms", "alone", alone, "beside cairn", with_cairn,
                                aim="added under 100", ratio="b-a")
            printer.compare(f"checkpoint {mode}{beside}, gave up busy", "times", "alone", busy[0], "beside cairn",
                            busy[1], ratio="b-a")
