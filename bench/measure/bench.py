"""What every benchmark works with: the programs, a folder of its own, databases, a running replication."""
import json
import os
import shutil
import signal
import subprocess
import time


class Bench:
    def __init__(self, build, work, given):
        self.work = work
        self.runs = given.runs
        self.seconds = given.seconds
        self.large_mib = given.mib
        self.cairn = os.path.abspath(given.cairn or os.path.join(build, "cairn"))
        self.app_program = os.path.abspath(os.path.join(build, "bench", "bench_app"))
        self.s3_program = os.path.abspath(os.path.join(build, "bench", "bench_s3"))
        self.merge_program = os.path.abspath(os.path.join(build, "bench", "bench_merge"))
        self.days_program = os.path.abspath(os.path.join(build, "bench", "bench_days"))
        self.twin_program = os.path.abspath(os.path.join(build, "s3_twin"))
        for program in (self.cairn, self.app_program, self.s3_program, self.merge_program,
                        self.days_program, self.twin_program):
            if not os.access(program, os.X_OK):
                raise SystemExit(f"bench/run: there is no {program}: "
                                 "build with -DCAIRN_BENCH=ON, or leave --build away")
        self._databases = {}

    def folder(self, name):
        """Empty, whatever was there."""
        path = os.path.join(self.work, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path

    def app(self, program, path, **options):
        """Runs a program of bench_app to its end: what it measured."""
        done = subprocess.run(self.app_command(program, path, **options), check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def app_command(self, program, path, **options):
        words = [self.app_program, program, path]
        for name, value in options.items():
            words += ["--" + name.replace("_", "-"), str(value)]
        return words

    def database(self, mib):
        """A database of about that size, made once; not to be written to."""
        if mib not in self._databases:
            path = os.path.join(self.work, f"filled-{mib}.db")
            self.app("fill", path, mib=mib)
            self._databases[mib] = path
        return self._databases[mib]

    def copy_of_database(self, mib, folder):
        path = os.path.join(folder, "app.db")
        shutil.copyfile(self.database(mib), path)
        return path

    def replicate(self, database, folder, to=None, environment=None):
        return Replication(self.cairn, database, folder, to, environment)


class Replication:
    """`cairn replicate` on a database, into a directory store beside it if no other is named.

    Left: stopped, everything published.
    """

    def __init__(self, cairn, database, folder, to=None, environment=None):
        self.store = to or os.path.join(folder, "store")
        self.state = os.path.join(folder, "state")
        self._status_path = os.path.join(folder, "status.json")
        self._log_path = os.path.join(folder, "log")
        with open(self._status_path, "wb") as status, open(self._log_path, "wb") as log:
            self.process = subprocess.Popen([cairn, "replicate", database, "--to", self.store, "--state-dir",
                                             self.state, "--json"], stdout=status, stderr=log, env=environment)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait()
        if status != 0 and kind is None:
            raise subprocess.CalledProcessError(status, "cairn replicate", stderr=self._log())

    def _log(self):
        with open(self._log_path, encoding="utf-8") as log:
            return log.read()

    def status(self):
        """The newest line; None before the first."""
        with open(self._status_path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 65536))
            lines = file.read().split(b"\n")
        return json.loads(lines[-2]) if len(lines) > 1 else None

    def wait_until_settled(self, timeout_s=1800):
        """Everything committed is published, and a snapshot too."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise subprocess.CalledProcessError(self.process.returncode, "cairn replicate", stderr=self._log())
            status = self.status()
            if status and status["settled"]:
                return status
            time.sleep(0.02)
        raise SystemExit(f"bench/run: the replication did not settle within {timeout_s} s: {self._log()}")
