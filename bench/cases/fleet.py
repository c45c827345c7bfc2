"""Many databases in one `cairn replicate --config`, nearly all of them idle: what they cost, and how late commits are.

Four parts: the fleet with a directory as its store; the same with the S3 server of the tests, which counts requests; a
hundred busy databases with and without a slow store and failing databases beside them; ten times as many databases,
all idle. BENCH_FLEET says how many there are (10,000), BENCH_FLEET_KIB how large (1,024), BENCH_FLEET_BUSY how many of
them get a commit a second (100, a tenth of them at most), BENCH_FLEET_IDLE how many in the last part (100,000), and
BENCH_FLEET_PARTS which parts ("directory,s3,neighbours,idle").
"""
import os
import random
import shutil
import sqlite3
import statistics
import time

from measure.daemon import Applications, Daemon, DirectoryStore, TwinStore, lags, make_databases
from measure.figures import Values
from measure.machine import settle_disk
from measure.twin import Twin

QUIET_S = 15
BUSY_S = 300    # with one merge of each database, at the widths of a folder
SIDE_S = 10      # of each side, with and without what is in trouble
SIDES = 3
SLOW_MS = 4000   # a slow store's, each time


def setting(name, otherwise):
    return int(os.environ.get(name, otherwise))


class Figures:
    """One part's: each says whether the aim is reached."""

    def __init__(self, printer, name):
        self._printer, self._name = printer, name

    def say(self, what, unit, value):
        self._printer.single(f"{self._name}: {what}", unit, Values([value]))

    def below(self, what, unit, value, most):
        self._printer.single(f"{self._name}: {what}", unit, Values([value]), aim=f"under {most}", reached=value < most)

    def none(self, what, value):
        self._printer.single(f"{self._name}: {what}", "", Values([value]), aim="none", reached=value == 0)


def requests_of(store):
    return store.twin.counts().get("requests", 0) if isinstance(store, TwinStore) else 0


def first_start(bench, figures, folder, config, count):
    with Daemon(bench, folder, config) as daemon:
        most = daemon.wait_until_new_ones_sleep(count)
        figures.say("all of them new, until published and asleep", "s", time.monotonic() - daemon.began)
        figures.say("CPU of that", "s", daemon.cpu())
        figures.below("resident meanwhile, the most", "MiB", daemon.peak_mib(), 200)
        figures.say("descriptors meanwhile, the most", "", most)


def at_rest(figures, daemon, count):
    """From a start over what is published to all of it asleep, and some time of that."""
    figures.below("start-up when all is published", "s", daemon.wait_until_quiet(), 30)
    figures.say("CPU of that", "s", daemon.cpu())
    cpu = daemon.cpu()
    time.sleep(QUIET_S)
    figures.below("CPU, all asleep", "% of a core", 100 * (daemon.cpu() - cpu) / QUIET_S, 5)
    figures.below("resident, all asleep", "MiB", daemon.resident_mib(), 200)
    figures.below("resident until then, the most", "MiB", daemon.peak_mib(), 200)
    figures.say("descriptors, threads", f"and {daemon.threads()}", daemon.descriptors())
    asleep, _, failing = daemon.states()
    if asleep != count:
        raise SystemExit(f"bench/run: of {count} databases {asleep} are asleep, and {failing} fail")
    daemon.forget_peak()


def with_commits(bench, figures, daemon, store, paths):
    applications = Applications(paths)
    applications.commit_for(3)
    before, compressing = requests_of(store), daemon.compression_cpu(paths[0])
    cpu, began = daemon.cpu(), time.monotonic()
    commits = applications.commit_for(BUSY_S)
    cpu, took = daemon.cpu() - cpu, time.monotonic() - began
    cpu_beside = cpu - (daemon.compression_cpu(paths[0]) - compressing)
    asked = requests_of(store) - before
    time.sleep(3)
    resident, most = daemon.resident_mib(), daemon.peak_mib()
    found = lags(bench, store, commits, daemon.folder)
    figures.below("commit to published, median", "s", statistics.median(found), 1.2)
    figures.say("the same, 99 of 100", "s", statistics.quantiles(found, n=100)[98])
    name = f"CPU, {len(commits) / BUSY_S:.0f} commits a second"
    figures.below(f"{name}, beside the compression", "% of a core", 100 * cpu_beside / took, 5)
    figures.say(f"{name}, all of it", "% of a core", 100 * cpu / took)
    figures.below("resident meanwhile", "MiB", resident, 200)
    figures.below("the most (with one status of all asked for)", "MiB", most, 200)
    figures.say("descriptors", "", daemon.descriptors())
    if isinstance(store, TwinStore):
        figures.say("requests a commit", "", asked / len(commits))
    applications.close()


def fleet(bench, printer, kind, store, paths, folder, busy):
    figures = Figures(printer, f"fleet, {kind}")
    count = len(paths)
    config = f'to = "{store.url}"\n[[database]]\nglob = "{os.path.dirname(os.path.dirname(paths[0]))}/*/*.db"\n'
    first_start(bench, figures, folder, config, count)
    asked = requests_of(store)
    if asked:
        figures.say("requests for each of them", "", asked / count)
    with Daemon(bench, folder, config) as daemon:
        at_rest(figures, daemon, count)
        if isinstance(store, TwinStore):
            figures.none("requests of start-up and rest", requests_of(store) - asked)
        if busy:
            with_commits(bench, figures, daemon, store, paths[:: count // busy][:busy])


class Troubled:
    """What is not well beside the others, by kind: a store that takes seconds for each answer and fails every third
    time; files that are no database, and databases that somebody keeps locked; one that gets megabytes at once."""

    KINDS = {"slow": "a slow store that fails", "broken": "databases that fail", "heavy": "one that gets 4 MB a second"}

    def __init__(self, folder, twin):
        self.folder, self._twin = folder, twin
        self._slow = make_databases(f"{folder}/slow", 20, 1024)
        self._locked = make_databases(f"{folder}/locked", 3, 64)
        self._garbage = make_databases(f"{folder}/garbage", 3, 64)
        self._heavy = make_databases(f"{folder}/heavy", 1, 64)
        for path in self._garbage:
            with open(path, "wb") as file:
                file.write(random.Random(1).randbytes(1 << 16))
        self._locks = [sqlite3.connect(path, isolation_level=None) for path in self._locked]
        for lock in self._locks:
            lock.execute("PRAGMA locking_mode=EXCLUSIVE")
            lock.execute("INSERT INTO ticks VALUES (1)")
        self._writers = [sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                         for path in self._slow + self._heavy]
        twin.control("POST", f"latency?ms={SLOW_MS}")
        twin.control("POST", "faults?rate=33&faults=slow_down&operations=all")

    def config(self, kind, store):
        if kind == "slow":
            return f'[[database]]\nglob = "{self.folder}/slow/*/*.db"\nto = "{self._twin.url("slow")}"\n'
        return "".join(f'[[database]]\nglob = "{self.folder}/{what}/*/*.db"\nto = "{store.url}-{what}"\n'
                       for what in (("locked", "garbage") if kind == "broken" else ("heavy",)))

    def writer(self, kind):
        """Called once a second."""
        return {"slow": self._write_slow, "broken": self._write_broken, "heavy": self._write_heavy}[kind]

    def _write_slow(self):
        for writer in self._writers[:-1]:
            writer.execute("INSERT INTO ticks VALUES (2)")

    def _write_broken(self):
        for path in self._garbage:
            with open(path, "ab") as file:
                file.write(b"more")

    def _write_heavy(self):
        self._writers[-1].execute("INSERT INTO filler VALUES (randomblob(4000000))")

    def close(self):
        for connection in self._locks + self._writers:
            connection.close()


def neighbours(bench, printer, folder, busy):
    printer.title(f"fleet: {busy} databases with a commit a second, and others in trouble beside them in turns")
    store = DirectoryStore(f"{folder}/store")
    paths = make_databases(f"{folder}/data", busy, 64)
    well = f'to = "{store.url}"\nstop_timeout = "5s"\n[[database]]\nglob = "{folder}/data/*/*.db"\n'
    with Twin(bench.twin_program, f"{folder}/twin") as twin:
        troubled = Troubled(folder, twin)
        for kind, name in Troubled.KINDS.items():
            sides = {False: [], True: []}
            with Daemon(bench, f"{folder}/daemon", well, ends_well=False) as daemon:  # a store does not answer
                applications = Applications(paths)
                daemon.wait_until(lambda: os.path.exists(daemon.socket))
                applications.commit_for(5)
                for side in range(2 * SIDES):
                    beside = side % 4 in (1, 2)  # A B B A: what drifts falls on both
                    write = troubled.writer(kind) if beside else None
                    daemon.configure(well + (troubled.config(kind, store) if beside else ""))
                    applications.commit_for(3, write)
                    sides[beside].append(applications.commit_for(SIDE_S, write))
                daemon.configure(well)
                time.sleep(2)
                medians = {beside: [statistics.median(lags(bench, store, commits, daemon.folder)) for commits in runs]
                           for beside, runs in sides.items()}
                applications.close()
            printer.compare(f"fleet, neighbours, {name}: commit to published, medians", "s", "alone",
                            Values(medians[False]), "beside", Values(medians[True]), aim="at most a tenth more")
        troubled.close()


def idle(bench, printer, folder, count):
    printer.title(f"fleet: {count:,} databases of 8 KiB registered, all idle")
    figures = Figures(printer, "fleet, idle")
    store = DirectoryStore(f"{folder}/store")
    make_databases(f"{folder}/data", count, 8)
    config = f'to = "{store.url}"\n[[database]]\nglob = "{folder}/data/*/*.db"\n'
    with Daemon(bench, f"{folder}/daemon", config) as daemon:
        most = daemon.wait_until_new_ones_sleep(count)
        figures.say("all of them new, until published and asleep", "s", time.monotonic() - daemon.began)
        figures.say("resident meanwhile, the most", "MiB", daemon.peak_mib())
        figures.say("descriptors meanwhile, the most", "", most)
    with Daemon(bench, f"{folder}/daemon", config) as daemon:
        figures.say("start-up when all is published", "s", daemon.wait_until_quiet())
        cpu = daemon.cpu()
        figures.say("CPU of that", "s", cpu)
        time.sleep(QUIET_S)
        figures.say("CPU, all asleep", "% of a core", 100 * (daemon.cpu() - cpu) / QUIET_S)
        figures.say("resident, all asleep", "MiB", daemon.resident_mib())
        figures.say("resident until then, the most", "MiB", daemon.peak_mib())
        figures.say("descriptors, threads", f"and {daemon.threads()}", daemon.descriptors())
        asleep, _, failing = daemon.states()
        if asleep != count:
            raise SystemExit(f"bench/run: of {count} databases {asleep} are asleep, and {failing} fail")


def run(bench, printer):
    count, kib = setting("BENCH_FLEET", 10_000), setting("BENCH_FLEET_KIB", 1024)
    busy = min(setting("BENCH_FLEET_BUSY", 100), max(count // 10, 1))
    parts = os.environ.get("BENCH_FLEET_PARTS", "directory,s3,neighbours,idle").split(",")
    if "directory" in parts or "s3" in parts:
        fleets(bench, printer, parts, count, kib, busy)
    if "neighbours" in parts:
        neighbours(bench, printer, bench.folder("fleet-neighbours"), busy)
    if "idle" in parts:
        idle(bench, printer, bench.folder("fleet-idle"), setting("BENCH_FLEET_IDLE", 100_000))


def fleets(bench, printer, parts, count, kib, busy):
    folder = bench.folder("fleet")
    printer.title(f"fleet: {count:,} databases of {kib} KiB, {busy} of them with a commit a second")
    paths = make_databases(f"{folder}/data", count, kib)
    settle_disk()
    if "directory" in parts:
        fleet(bench, printer, "directory", DirectoryStore(f"{folder}/directory/store"), paths,
              f"{folder}/directory/daemon", busy)
        shutil.rmtree(f"{folder}/directory")
        settle_disk()
    if "s3" in parts:
        with Twin(bench.twin_program, f"{folder}/s3", "--verbose", "--believe-payload") as twin:
            fleet(bench, printer, "S3", TwinStore(twin), paths, f"{folder}/s3/daemon", busy)
    shutil.rmtree(folder)
