"""A container's directory: first sync, nothing changed, 1% changed, one page of a large file, restore, one file;
against `tar | zstd`, restic and casync on the same tree.

The tree is made of this machine's files: 13,000 files, 1.5 GB. All of it is read from the page cache, and all stores
are folders on the same disk. restic and casync encrypt, deduplicate and keep metadata in their own ways: they are what
one would use instead, not the same work.
"""
import json
import os
import re
import shutil
import subprocess

from measure.figures import Values
from measure.machine import Timed, forget, settle_disk
from measure.trees import change_some, files_of, make_tree, size_of

FILES, MEGABYTES = 13_000, 1_500
LARGE_MIB = 1024
RESTIC = {"RESTIC_PASSWORD": "bench", "RESTIC_PROGRESS_FPS": "0"}


class Layers:
    def __init__(self, bench):
        self.cairn, self.work = bench.cairn, bench.folder("layers")
        self.tree = os.path.join(self.work, "tree")
        self.retired = 0
        os.makedirs(self.tree)
        make_tree(self.tree, FILES, MEGABYTES)
        for name in files_of(self.tree):
            with open(name, "rb") as file:
                while file.read(1 << 20):
                    pass

    def path(self, name):
        return os.path.join(self.work, name)

    def fresh(self, *names):
        """Out of the way, not deleted: ext4 looks past each inode that was deleted within a minute whenever it makes a
        file, and a restore behind the removal of 13,000 files is that search and little else. Out of the page cache as
        well: a virtual machine that takes ever new memory is given it by its host, page by page, which takes longer
        than what is measured and is the same for both sides."""
        for name in filter(lambda name: os.path.exists(self.path(name)), names):
            self.retired += 1
            retired = self.path(f"retired-{self.retired}")
            os.rename(self.path(name), retired)
            settle_disk()
            forget(retired)

    def sync_command(self, tree=None, store="store", state="state"):
        return [self.cairn, "layer", "sync", tree or self.tree, "--to", self.path(store), "--name", "bench",
                "--state-dir", self.path(state), "--json"]

    def restore_command(self, target, *options):
        return [self.cairn, "layer", "restore", self.path("store"), "--name", "bench", "-o", self.path(target),
                "--state-dir", self.path("other-state"), *options]

    def tar_command(self, target="peer.tar.zst", sync=True):
        then = ' && sync "$1"' if sync else ""
        return ["sh", "-c", 'tar -c --xattrs -C "$0" . | zstd -q -3 -T0 -f -o "$1"' + then, self.tree,
                self.path(target)]

    def restic_command(self, *words):
        return ["env", *(f"{key}={value}" for key, value in RESTIC.items()), "restic", "-q", "--no-cache", "-r",
                self.path("restic"), *words]

    def casync_command(self, *words):
        return ["casync", *words, f"--store={self.path('casync.castr')}"]


def told(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_mib(command):
    """Of a command's own memory at its highest, as the kernel counts."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_maxrss / 1024


def first_sync(bench, layers, printer):
    tar, cairn, restic, casync, tar_cpu, cairn_cpu = (Values() for _ in range(6))
    for number in range(bench.runs + 1):
        if number == 1:  # the first round only makes the machine's memory its own
            for values in (tar, cairn, tar_cpu, cairn_cpu):
                values.clear()
        settle_disk()
        timed = Timed(layers.tar_command())
        tar.add(timed.seconds)
        tar_cpu.add(timed.cpu_seconds)
        layers.fresh("store", "state")
        settle_disk()
        timed = Timed(layers.sync_command())
        cairn.add(timed.seconds)
        cairn_cpu.add(timed.cpu_seconds)
    for _ in range(min(bench.runs, 2)):
        layers.fresh("restic", "casync.castr")
        Timed(layers.restic_command("init"))
        settle_disk()
        restic.add(Timed(layers.restic_command("backup", layers.tree)).seconds)
        settle_disk()
        casync.add(Timed(layers.casync_command("make", layers.path("peer.caidx"), layers.tree)).seconds)
    printer.compare("first sync", "s", "tar | zstd -3 -T0, then sync", tar, "cairn layer sync", cairn,
                    aim="at most 1.3")
    printer.compare("first sync, CPU", "s", "tar | zstd -3 -T0, then sync", tar_cpu, "cairn layer sync", cairn_cpu)
    printer.compare("first sync, restic", "s", "restic backup", restic, "cairn layer sync", cairn)
    printer.compare("first sync, casync", "s", "casync make", casync, "cairn layer sync", cairn)
    printer.note(f"stored: tar {os.path.getsize(layers.path('peer.tar.zst')) / 1e6:.0f} MB, cairn "
                 f"{size_of(layers.path('store')) / 1e6:.0f} MB, restic {size_of(layers.path('restic')) / 1e6:.0f} MB, "
                 f"casync {size_of(layers.path('casync.castr')) / 1e6:.0f} MB")


def nothing_changed(bench, layers, printer):
    restic, cairn = Values(), Values()
    Timed(layers.sync_command())  # what had just been written when the first sync saw it is known from here on
    for _ in range(bench.runs):
        restic.add(Timed(layers.restic_command("backup", layers.tree)).seconds)
        cairn.add(Timed(layers.sync_command()).seconds)
    entries = sum(len(folders) + len(names) for _, folders, names in os.walk(layers.tree))
    printer.compare(f"nothing changed, {entries} entries", "s", "restic backup", restic, "cairn layer sync", cairn,
                    aim="under 0.15 s, restic 15 times", ratio="a/b")
    if not shutil.which("strace"):
        return printer.note("without strace, what is opened is not counted")
    trace = layers.path("trace")
    subprocess.run(["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", trace, *layers.sync_command()],
                   check=True, stdout=subprocess.DEVNULL)
    with open(trace, encoding="utf-8", errors="replace") as file:
        lines = file.readlines()
    store = sum(layers.path("store") in line for line in lines)
    names = {os.path.basename(name) for name in files_of(layers.tree)}
    files = sum(any(os.path.basename(word) in names for word in re.findall(r'"([^"]*)"', line)) and
                "O_DIRECTORY" not in line and "/lib/" not in line for line in lines)
    printer.single("nothing changed: files of the tree opened", "", Values([files]), aim="none")
    printer.single("nothing changed: files of the store opened", "", Values([store]), aim="none")


def some_changed(bench, layers, printer):
    restic, cairn, restic_bytes, cairn_bytes = Values(), Values(), Values(), Values()
    for number in range(bench.runs):
        change_some(layers.tree, 0.01, number)
        before = size_of(layers.path("restic"))
        restic.add(Timed(layers.restic_command("backup", layers.tree)).seconds)
        restic_bytes.add((size_of(layers.path("restic")) - before) / 1e6)
        before = size_of(layers.path("store"))
        cairn.add(Timed(layers.sync_command()).seconds)
        cairn_bytes.add((size_of(layers.path("store")) - before) / 1e6)
    printer.compare("1% of files changed", "s", "restic backup", restic, "cairn layer sync", cairn,
                    aim="under 1 s", ratio="a/b")
    printer.compare("1% of files changed, added", "MB", "restic", restic_bytes, "cairn", cairn_bytes,
                    aim="at most 1.5")


def one_page(bench, layers, printer):
    folder = layers.path("large")
    os.makedirs(folder)
    large = os.path.join(folder, "file")
    shutil.copyfile(bench.database(LARGE_MIB), large)
    command = layers.sync_command(folder, "large-store", "large-state")
    told(command)
    seconds, sent = Values(), Values()
    for number in range(bench.runs):
        with open(large, "r+b") as file:
            file.seek((number * 97 + 13) * 4096 * 1000)
            file.write(os.urandom(4096))
        settle_disk()
        timed = Timed(["sh", "-c", '"$@" >"$0"', layers.path("told"), *command])
        with open(layers.path("told"), encoding="utf-8") as file:
            sent.add(json.load(file)["sent_bytes"] / 2**20)
        seconds.add(timed.seconds)
    printer.single(f"one page of a {LARGE_MIB} MiB file", "s", seconds)
    printer.single(f"one page of a {LARGE_MIB} MiB file: sent", "MiB", sent, aim="at most 16")


def restores(bench, layers, printer):
    layers.fresh("store", "state")
    Timed(layers.sync_command())
    store = layers.path("store")
    layer = next(os.path.join(store, name) for name in os.listdir(store) if name.endswith(".tar.zst"))
    by_tar, cairn, tar_cpu, cairn_cpu = (Values() for _ in range(4))
    for number in range(bench.runs + 1):
        if number == 1:
            for values in (by_tar, cairn, tar_cpu, cairn_cpu):
                values.clear()
        layers.fresh("by-tar", "by-cairn")
        os.makedirs(layers.path("by-tar"))
        settle_disk()
        timed = Timed(["sh", "-c", 'zstd -q -dc "$0" | tar -x --xattrs -C "$1" && sync -f "$1"', layer,
                       layers.path("by-tar")])
        by_tar.add(timed.seconds)
        tar_cpu.add(timed.cpu_seconds)
        settle_disk()
        timed = Timed(layers.restore_command("by-cairn"))
        cairn.add(timed.seconds)
        cairn_cpu.add(timed.cpu_seconds)
    printer.compare("restore", "s", "zstd -dc | tar x, then sync -f", by_tar, "cairn layer restore", cairn,
                    aim="at most 0.7")
    printer.compare("restore, CPU", "s", "zstd -dc | tar x, then sync -f", tar_cpu, "cairn layer restore", cairn_cpu)
    one = max((name for name in files_of(layers.tree) if os.path.getsize(name) < 1 << 20), key=os.path.getsize)
    result = told(layers.restore_command("one", "--path", os.path.relpath(one, layers.tree), "--json"))
    printer.single("one file out of the layer: requests", "", Values([result["requests"]]), aim="under 20")
    printer.single("one file out of the layer: fetched", "MiB", Values([result["fetched_bytes"] / 2**20]),
                   aim="under 8")


def memory(layers, printer):
    layers.fresh("store", "state", "by-cairn")
    printer.single("memory: first sync", "MiB", Values([peak_mib(layers.sync_command())]), aim="under 150")
    printer.single("memory: restore", "MiB", Values([peak_mib(layers.restore_command("by-cairn"))]), aim="under 150")


def run(bench, printer):
    printer.title(f"layers: {FILES} files, {MEGABYTES} MB")
    for tool in ("restic", "casync"):
        if not shutil.which(tool):
            return printer.note(f"{tool} is not installed: scripts/install-deps bench")
    layers = Layers(bench)
    first_sync(bench, layers, printer)
    nothing_changed(bench, layers, printer)
    some_changed(bench, layers, printer)
    restores(bench, layers, printer)
    memory(layers, printer)
    one_page(bench, layers, printer)
