"""A replication of a database that nobody writes to: CPU, wake-ups, and calls of the store.

An application keeps the database open meanwhile, as applications do. A store call of a directory store is a system call
on one of its files: strace names them.
"""
import os
import shutil
import signal
import sqlite3
import subprocess
import time

from measure.figures import Values
from measure.machine import cpu_seconds, wake_ups

IDLE_S = 30
SETTLING_S = 5  # a replication looks more often for a moment after each sign of life


def traced_calls(pid, store, log):
    """System calls in IDLE_S: all, and those on files of the store. None when strace may not look."""
    if shutil.which("strace") is None:
        return None
    with subprocess.Popen(["strace", "-f", "-qq", "-y", "-o", log, "-p", str(pid)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as strace:
        time.sleep(IDLE_S)
        if strace.poll() is not None:
            return None
        strace.send_signal(signal.SIGINT)
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = [line for line in file if "resumed>" not in line]
    return len(lines), sum(os.path.basename(store) + "/" in line or f"{store}>" in line for line in lines)


def run(bench, printer):
    printer.title(f"idle: {IDLE_S} s of quiet")
    folder = bench.folder("idle")
    database = bench.copy_of_database(64, folder)
    with bench.replicate(database, folder) as replication:
        bench.app("write", database, seconds=2, pause_us=10_000)
        application = sqlite3.connect(database)
        application.execute("SELECT count(*) FROM notes").fetchone()
        replication.wait_until_settled()
        time.sleep(SETTLING_S)
        cpu, woken = cpu_seconds(replication.pid), wake_ups(replication.pid)
        time.sleep(IDLE_S)
        cpu = cpu_seconds(replication.pid) - cpu
        woken = wake_ups(replication.pid) - woken
        calls = traced_calls(replication.pid, replication.store, os.path.join(folder, "strace"))
        application.close()
    printer.single("idle: CPU", "ms a minute", Values([cpu * 1000 * 60 / IDLE_S]), aim="none to speak of")
    printer.single("idle: wake-ups", "a minute", Values([woken * 60 / IDLE_S]))
    if calls is None:
        printer.note("no strace, or it may not look at other processes here: store calls are not counted")
        return
    printer.single("idle: system calls", "a minute", Values([calls[0] * 60 / IDLE_S]))
    printer.single("idle: store calls", "a minute", Values([calls[1] * 60 / IDLE_S]), aim="none")
