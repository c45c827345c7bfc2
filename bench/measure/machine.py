"""What the kernel knows of processes, files and the machine."""
import glob
import os
import platform
import subprocess
import threading
import time

from measure.trees import files_of


def describe_machine(directory):
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        models = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    with open("/proc/meminfo", encoding="utf-8") as info:
        kib = int(info.readline().split()[1])
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    disk = subprocess.run(["df", "--output=fstype", directory], capture_output=True, text=True, check=False)
    kind = disk.stdout.split()[-1] if disk.returncode == 0 else "?"
    return (f"{time.strftime('%Y-%m-%d')} · {os.cpu_count()} x {models[0] if models else platform.machine()} · "
            f"{kib / 2**20:.0f} GiB · {kind} · Linux {platform.release()} · load before: {load}")


def settle_disk():
    """What earlier runs left to be written is not charged to the next."""
    os.sync()


def warm(path):
    """All of a file in the page cache: both sides read it from there."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def forget(path):
    """A file, or all files of a tree, out of the page cache; what is not on the disk yet stays."""
    for name in files_of(path) if os.path.isdir(path) else [path]:
        with open(name, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Timed:
    """A command that has run: seconds passed, and seconds of CPU."""

    def __init__(self, command):
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            said = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            self.seconds = time.monotonic() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command, stderr=said.decode(errors="replace"))


def cpu_seconds(pid):
    """Of all threads that live, to the nanosecond."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def wake_ups(pid):
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        with open(path, encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return total


class MemoryWatch:
    """Samples a process's resident memory until left: the highest of each kind, in MiB.

    `beside` is all that is resident apart from the files mapped from `mapped_folder`: the page hashes.
    """

    def __init__(self, pid, mapped_folder, interval_s=0.05):
        self._pid, self._folder, self._interval_s = pid, mapped_folder, interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.beside = self.hashes = self.anonymous = self.high_water = 0.0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _sample(self):
        while not self._stop.wait(self._interval_s):
            try:
                self._look()
            except (FileNotFoundError, ProcessLookupError):
                return

    def _look(self):
        resident = hashes = anonymous = 0
        from_hashes = False
        with open(f"/proc/{self._pid}/smaps", encoding="utf-8", errors="replace") as file:
            for line in file:
                first = line.split(maxsplit=1)[0]
                if not first.endswith(":"):  # the line that begins a mapping
                    from_hashes = self._folder in line and "-shm" not in line
                elif first == "Rss:":
                    kib = int(line.split()[1])
                    resident += kib
                    hashes += kib if from_hashes else 0
                elif first == "Anonymous:":
                    anonymous += int(line.split()[1])
        self.beside = max(self.beside, (resident - hashes) / 1024)
        self.hashes = max(self.hashes, hashes / 1024)
        self.anonymous = max(self.anonymous, anonymous / 1024)
        with open(f"/proc/{self._pid}/status", encoding="utf-8") as file:
            self.high_water = max(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
