"""What Cairn asks of an S3 server, as the server counts it: it is what such a store charges for."""
import os
import sqlite3
import subprocess
import time

from measure.figures import Values
from measure.machine import MemoryWatch
from measure.twin import Twin, environment

SEGMENTS = 100
IDLE_S = 30
IN_FLIGHT_MIB = 8 * 8  # parts or ranges of 8 MiB, and as many at once as the command has transfers
ROW = "INSERT INTO notes (body) VALUES (hex(randomblob(200)))"


def put_count(twin):
    return twin.counts().get("put_object", 0)


def commit_and_wait(application, twin, replication):
    """One small transaction, and its segment in the store."""
    before = put_count(twin)
    with application:
        application.execute(ROW)
    until = time.monotonic() + 60
    while put_count(twin) == before:
        if replication.process.poll() is not None or time.monotonic() > until:
            raise SystemExit("bench/run: a commit was not published")
        time.sleep(0.005)


def wait_for_quiet(twin):
    """No request for a second."""
    before = None
    while before != (before := twin.counts()["requests"]):
        time.sleep(1)


def publish(bench, printer, twin, folder, url):
    database = os.path.join(folder, "app.db")
    application = sqlite3.connect(database)
    application.execute("PRAGMA journal_mode = wal")
    application.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
    application.commit()
    with bench.replicate(database, folder, to=url, environment=environment(folder)) as replication:
        replication.wait_until_settled()
        commit_and_wait(application, twin, replication)  # and the replica's summary, which is renewed now and then
        wait_for_quiet(twin)
        twin.reset_counts()
        for _ in range(SEGMENTS - 1):
            commit_and_wait(application, twin, replication)
        published = twin.counts()
        wait_for_quiet(twin)
        twin.reset_counts()
        time.sleep(IDLE_S)
        idle = twin.counts()
    application.close()
    printer.single("requests: a publish of a small segment", "requests",
                   Values([published["requests"] / (SEGMENTS - 1)]), aim="exactly 1")
    printer.single("requests: an idle database", f"in {IDLE_S} s", Values([idle["requests"]]), aim="none")


def restore(bench, printer, twin, folder, url):
    twin.reset_counts()
    subprocess.run([bench.cairn, "restore", url, "-o", os.path.join(folder, "restored.db")], check=True,
                   capture_output=True, text=True, env=environment(folder))
    counts = twin.counts()
    objects = SEGMENTS + 1
    lists = sum(counts.get(name, 0) for name in ("list_objects", "list_uploads", "list_parts"))
    printer.single(f"requests: restore of a snapshot and {SEGMENTS} segments, lists", "requests", Values([lists]),
                   aim="at most 4")
    printer.single(f"requests: restore of a snapshot and {SEGMENTS} segments, gets an object", "requests",
                   Values([counts["get_object"] / objects]), aim="at most 1.2")
    printer.single(f"requests: restore of a snapshot and {SEGMENTS} segments, all", "requests",
                   Values([counts["requests"]]))


def memory(bench, printer, twin, folder):
    """Of the whole command: a first snapshot through the wire, and a restore of it."""
    url = twin.url("large")
    database = bench.database(bench.large_mib)
    commands = {"snapshot": ["snapshot", database, "--to", url, "--state-dir", os.path.join(folder, "state")],
                "restore": ["restore", url, "-o", os.path.join(folder, "large.db")]}
    for name, words in commands.items():
        with subprocess.Popen([bench.cairn, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=environment(folder)) as process:
            with MemoryWatch(process.pid, folder) as watch:
                process.wait()
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        printer.single(f"memory, {name} of {bench.large_mib} MiB over http, beside the page hashes", "MiB",
                       Values([watch.beside]), aim=f"under 64 beside at most {IN_FLIGHT_MIB} in flight")


def run(bench, printer):
    printer.title("requests: as the S3 server of the tests counts them, on loopback")
    folder = bench.folder("requests")
    with Twin(bench.twin_program, folder) as twin:
        publish(bench, printer, twin, folder, twin.url("small"))
        restore(bench, printer, twin, folder, twin.url("small"))
        memory(bench, printer, twin, folder)
