"""Many databases and one `cairn replicate --config` over them: what it takes, and when a commit was published."""
import bisect
import glob
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

from measure.machine import cpu_seconds
from measure.twin import environment

IN_A_FOLDER = 1000
WORDS = "the of and a to in is you that it he was for on are as with his they at be this have from or one had by word"


def make_database(path, kib):
    """Of that size, and of text that compresses about as databases do: to a third."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE ticks(t REAL)")
    database.execute("CREATE TABLE filler(v TEXT)")
    database.commit()
    words = WORDS.split()
    number, pages = 1, kib // 4
    while database.execute("PRAGMA page_count").fetchone()[0] < pages:
        text = []
        for _ in range(40 if kib >= 64 else 1):
            number = number * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            text.append(words[(number >> 40) % len(words)] if number >> 33 & 1 else f"{number >> 44:x}")
        database.execute("INSERT INTO filler VALUES (?)", (" ".join(text),))
    database.commit()
    database.execute("PRAGMA wal_checkpoint(truncate)")
    database.close()


def make_databases(folder, count, kib):
    """All alike: the first is made by SQLite, the others are copies of its file."""
    os.makedirs(folder, exist_ok=True)
    first = os.path.join(folder, "first")
    make_database(first, kib)
    paths = []
    for number in range(count):
        below = os.path.join(folder, f"{number // IN_A_FOLDER:03}")
        os.makedirs(below, exist_ok=True)
        paths.append(os.path.join(below, f"{number:06}.db"))
        shutil.copyfile(first, paths[-1])
    os.unlink(first)
    return paths


class Daemon:
    """Left: told to stop, and ended well, if `ends_well`."""

    def __init__(self, bench, folder, config, ends_well=True):
        os.makedirs(folder, exist_ok=True)
        self._ends_well = ends_well
        self.folder, self.socket = folder, os.path.join(folder, "control")
        self._log = os.path.join(folder, "log")
        path = os.path.join(folder, "cairn.toml")
        self._write(config)
        self.began = time.monotonic()
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen([bench.cairn, "replicate", "--config", path], stdout=subprocess.DEVNULL,
                                            stderr=log, env=environment(folder))
        self.pid = self.process.pid

    def _write(self, config):
        with open(os.path.join(self.folder, "cairn.toml"), "w", encoding="utf-8") as file:
            file.write(f'[defaults]\nstate_dir = "{self.folder}/state"\ncontrol = "{self.socket}"\n'
                       'sleep_after = "10s"\n' + config)

    def configure(self, config):
        """From now on; what has changed is begun anew."""
        self._write(config)
        self.process.send_signal(signal.SIGHUP)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait()
        if status != 0 and kind is None and (self._ends_well or status < 0):
            self._fail(f"the daemon ended with status {status}")

    def _fail(self, what):
        with open(self._log, encoding="utf-8", errors="replace") as log:
            raise SystemExit(f"bench/run: {what}: " + log.read()[-2000:])

    def _status_mib(self, name):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name + ":"))

    def resident_mib(self):
        return self._status_mib("VmRSS")

    def peak_mib(self):
        """Since it began, or since forget_peak()."""
        return self._status_mib("VmHWM")

    def forget_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def cpu(self):
        return cpu_seconds(self.pid)

    def wait_until(self, holds, pause_s=0.2, timeout_s=3600):
        until = time.monotonic() + timeout_s
        while not holds():
            if self.process.poll() is not None or time.monotonic() > until:
                self._fail("the daemon did not come to rest")
            time.sleep(pause_s)

    def wait_until_new_ones_sleep(self, count):
        """Each of so many new databases is published, and closed again. Returns the most descriptors meanwhile."""
        most = 0

        def all_sleep():
            nonlocal most
            most = max(most, now := self.descriptors())
            if now >= 64:
                return False
            return sum(1 for _ in glob.iglob(f"{self.folder}/state/*/position")) >= count

        self.wait_until(all_sleep)
        return most

    def wait_until_quiet(self):
        """Nothing is done any more. Returns the seconds since it began until then."""
        last, quiet_since = -1.0, None
        while True:
            now = self.cpu()
            if now - last > 0.005:
                last, quiet_since = now, time.monotonic()
            elif time.monotonic() - quiet_since > 1 and os.path.exists(self.socket):
                return quiet_since - self.began
            if self.process.poll() is not None:
                self._fail("the daemon ended")
            time.sleep(0.1)

    def _status(self, **of):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.socket)
            connection.sendall(json.dumps({"command": "status", **of}).encode() + b"\n")
            with connection.makefile("rb") as file:
                return json.loads(file.readline())["result"]

    def compression_cpu(self, database):
        """Seconds, of all; one database is told of with them, which costs less than the status of all."""
        return self._status(databases=[database])["compression_cpu_ms"] / 1000

    def states(self):
        """How many databases are asleep, are open, fail."""
        all_of_them = self._status()["databases"]
        return (sum(one["asleep"] for one in all_of_them), sum(one["open"] for one in all_of_them),
                sum(one["failing"] is not None for one in all_of_them))


class Applications:
    """Each has its database open, and commits a row in each second, at any moment of it.

    Not at the same moment of each: what is then measured is how that moment and the interval lie to each other, which
    moves by the little by which each publish is late.
    """

    def __init__(self, paths):
        self.paths = paths
        self._connections = [sqlite3.connect(path, isolation_level=None) for path in paths]
        for connection in self._connections:
            connection.execute("PRAGMA synchronous=NORMAL")

    def close(self):
        for connection in self._connections:
            connection.close()

    def commit_for(self, seconds, beside=None):
        """Returns (database, when it was committed by the wall clock) of each; `beside` is called once a second.

        In a thread of its own, so that commits are not moved by how long `beside` takes.
        """
        done = []
        random_moment = random.Random(1).random
        ended = threading.Event()
        other = threading.Thread(target=lambda: self._repeat(beside, ended)) if beside else None
        if other:
            other.start()
        began = time.monotonic()
        for second in range(seconds):
            for moment, number in sorted((random_moment(), number) for number in range(len(self._connections))):
                time.sleep(max(0.0, began + second + moment - time.monotonic()))
                done.append((self.paths[number], time.time()))
                self._connections[number].execute("INSERT INTO ticks VALUES (?)", (time.time(),))
        ended.set()
        if other:
            other.join()
        return done

    @staticmethod
    def _repeat(beside, ended):
        while not ended.is_set():
            beside()
            ended.wait(1)


class DirectoryStore:
    """When a file got its name is the time of its inode's last change."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.url = folder

    def replica(self, name):
        return f"{self.folder}/{name}"

    def puts(self, name):
        found = {}
        for path in glob.glob(f"{glob.escape(self.replica(name))}/wal/*.wal.zst"):
            found[int(os.path.basename(path).split(".")[0])] = os.stat(path).st_ctime_ns / 1e9
        return found


class TwinStore:
    """The S3 server of the tests, run with "--verbose": it writes down when it has answered."""

    def __init__(self, twin):
        self.twin = twin
        self.url = twin.url("fleet")
        self._puts, self._read = {}, 0

    def replica(self, name):
        return self.twin.url(f"fleet/{name}")

    def puts(self, name):
        with open(self.twin.log, "rb") as file:
            file.seek(self._read)
            lines = file.read()
        whole = lines.rfind(b"\n") + 1
        self._read += whole
        for line in lines[:whole].decode(errors="replace").splitlines():
            put = re.match(r"(\d+) PUT /bucket/fleet/(.*)/wal/(\d+)\.wal\.zst\S* -> 200", line)
            if put:
                self._puts.setdefault(put[2], {}).setdefault(int(put[3]), int(put[1]) / 1000)
        return self._puts.get(name, {})


def lags(bench, store, commits, folder):
    """Seconds from each commit until an object that holds it was in the store.

    An object holds what was committed up to the time in it, which is when the database was looked at.
    """
    by_path = {}
    for path, when in commits:
        by_path.setdefault(path, []).append(when)
    found = []
    for path, times in by_path.items():
        name = os.path.join(*path.split(os.sep)[-2:])
        said = subprocess.run([bench.cairn, "history", store.replica(name), "--json"], check=True, capture_output=True,
                              env=environment(folder)).stdout
        puts = store.puts(name)
        points = sorted((point["time_ms"] / 1000, puts[point["sequence"]])
                        for point in json.loads(said)["restore_points"] if point["sequence"] in puts)
        looked = [look for look, _ in points]
        for when in times:
            first = bisect.bisect_left(looked, int(when * 1000) / 1000)
            if first == len(points):
                raise SystemExit(f"bench/run: a commit in {path} is not published")
            found.append(max(points[first][1] - when, 0.0))
    return found
