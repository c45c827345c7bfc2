"""Many databases in one `cairn replicate --config`, nearly all of them idle: what they cost, and how late commits are.

The store is the S3 server of the tests, which counts requests. BENCH_FLEET says how many databases (some numbers, by
commas; 1,000 by default), BENCH_FLEET_KIB how large each is (1,024), BENCH_FLEET_BUSY how many of them get a commit a
second (100 at most, a tenth of them at most). Each commit is a row in a table of its own.
"""
import glob
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import time

from measure.figures import Values
from measure.machine import cpu_seconds
from measure.twin import Twin, environment

QUIET_S = 20
BUSY_S = 20
IN_A_FOLDER = 1000


def resident_mib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def make_databases(folder, count, kib):
    """All alike: the first is made by SQLite, the others are copies of its file."""
    first = os.path.join(folder, "first.db")
    with sqlite3.connect(first) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE filler(v BLOB)")
        database.execute("CREATE TABLE ticks(t REAL)")
        for _ in range(max(kib // 64, 1)):
            database.execute("INSERT INTO filler VALUES (randomblob(?))", (min(kib, 64) * 1000,))
    database.close()
    paths = []
    for number in range(count):
        below = os.path.join(folder, "data", f"{number // IN_A_FOLDER:03}")
        os.makedirs(below, exist_ok=True)
        paths.append(os.path.join(below, f"{number:06}.db"))
        shutil.copyfile(first, paths[-1])
    return paths


class Fleet:
    """The daemon over all of them. Left: stopped, everything published."""

    def __init__(self, bench, folder, twin):
        config = os.path.join(folder, "cairn.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'[defaults]\nto = "{twin.url("fleet")}"\nstate_dir = "{folder}/state"\nsleep_after = "10s"\n'
                       f'[[database]]\nglob = "{folder}/data/*/*.db"\n')
        self.log = os.path.join(folder, "log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([bench.cairn, "replicate", "--config", config], stdout=subprocess.DEVNULL,
                                            stderr=log, env=environment(folder))
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait() != 0:
            with open(self.log, encoding="utf-8") as log:
                raise SystemExit("bench/run: the daemon failed: " + log.read()[-2000:])

    def wait_until(self, holds, timeout_s=7200):
        until = time.monotonic() + timeout_s
        while not holds():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit("bench/run: the daemon did not come to rest")
            time.sleep(0.1)

    def sleeps(self, count):
        """No database is open, and all of them have been begun with: each has a state directory."""
        if descriptors(self.pid) >= 64 + 12:
            return False
        return len(glob.glob(f"{self.log[:-4]}/state/*/position")) >= count


def objects(twin):
    return twin.counts().get("requests", 0)


def commit_all(connections):
    for connection in connections:
        with connection:
            connection.execute("INSERT INTO ticks VALUES (?)", (time.time(),))


def measure_lag(fleet, twin, connections):
    """Seconds from a commit in each of some databases until as many segments more have been put."""
    lags = []
    for _ in range(BUSY_S):
        began = time.monotonic()
        puts = twin.counts().get("put_object", 0)
        times = []
        for connection in connections:
            with connection:
                connection.execute("INSERT INTO ticks VALUES (?)", (time.time(),))
            times.append(time.monotonic())
        seen = 0
        while seen < len(connections) and time.monotonic() - began < 30:
            counts = twin.counts()
            now = counts.get("put_object", 0) - puts
            for number in range(seen, min(now, len(connections))):
                lags.append(time.monotonic() - times[number])
            seen = max(seen, now)
            time.sleep(0.02)
        time.sleep(max(0.0, 1 - (time.monotonic() - began)))
    return lags


def run_one(bench, printer, count, kib, busy):
    printer.title(f"fleet: {count:,} databases of {kib} KiB, {busy} of them with a commit a second")
    folder = bench.folder("fleet")
    paths = make_databases(folder, count, kib)
    with Twin(bench.twin_program, folder) as twin:
        began = time.monotonic()
        with Fleet(bench, folder, twin) as fleet:
            fleet.wait_until(lambda: fleet.sleeps(count))
            printer.single("fleet: all of them new, until asleep", "s", Values([time.monotonic() - began]))
            printer.single("fleet: requests for each of them", "", Values([objects(twin) / count]))
            printer.single("fleet: resident after that", "MiB", Values([resident_mib(fleet.pid)]))
        twin.reset_counts()
        began, used = time.monotonic(), None
        with Fleet(bench, folder, twin) as fleet:
            time.sleep(0.5)
            last = -1.0
            while last != (used := cpu_seconds(fleet.pid)) and used - last > 0.02:
                last = used
                time.sleep(0.5)
            printer.single("fleet: start-up again", "s", Values([time.monotonic() - began]), aim="under 30")
            printer.single("fleet: CPU of that", "s", Values([used]))
            cpu = cpu_seconds(fleet.pid)
            time.sleep(QUIET_S)
            cpu = cpu_seconds(fleet.pid) - cpu
            printer.single("fleet: requests until now", "", Values([objects(twin)]), aim="0")
            printer.single("fleet: CPU, all asleep", "% of a core", Values([100 * cpu / QUIET_S]), aim="under 5")
            printer.single("fleet: resident, all asleep", "MiB", Values([resident_mib(fleet.pid)]))
            printer.single("fleet: descriptors, all asleep", "", Values([descriptors(fleet.pid)]))
            printer.single("fleet: threads", "", Values([threads(fleet.pid)]))
            if busy == 0:
                return
            connections = [sqlite3.connect(path) for path in paths[:: count // busy][:busy]]
            commit_all(connections)
            time.sleep(5)
            cpu = cpu_seconds(fleet.pid)
            began = time.monotonic()
            lags = measure_lag(fleet, twin, connections)
            cpu = (cpu_seconds(fleet.pid) - cpu) / (time.monotonic() - began)
            printer.single("fleet: commit to published", "s", Values([statistics.median(lags)]), aim="under 1.2")
            printer.single("fleet: CPU, compression and all", "% of a core", Values([100 * cpu]))
            printer.single("fleet: resident", "MiB", Values([resident_mib(fleet.pid)]), aim="under 200")
            printer.single("fleet: descriptors", "", Values([descriptors(fleet.pid)]))
            for connection in connections:
                connection.close()


def run(bench, printer):
    kib = int(os.environ.get("BENCH_FLEET_KIB", "1024"))
    for count in (int(text) for text in os.environ.get("BENCH_FLEET", "1000").split(",")):
        busy = min(int(os.environ.get("BENCH_FLEET_BUSY", "100")), count // 10)
        run_one(bench, printer, count, kib, busy)
