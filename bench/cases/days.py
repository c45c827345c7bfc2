"""Thirty days of one publish a second, simulated: what is left in the store, what was asked of it, and what that costs.

Real are the database, every object and every merge, prune and restore; the clock is told what time it is, and the
store is memory that counts. A restore's figure is the worst of 200 random states, each by its sequence and by its time.
"""
import json
import subprocess

from measure.figures import Values

# Public list prices of S3 Standard in us-east-1, as in src/store/cost.cc: a thousand requests, a GB and month.
WRITE, LIST, READ, STORED = 0.005, 0.005, 0.0004, 0.023
WRITES = ("put_new", "put_if", "begin_upload", "put_part", "copy_part", "complete_new")
LISTS = ("list", "list_parts", "list_uploads")
READS = ("get", "get_suffix", "head")
POLICIES = (("as cairn prune does by default", ()), ("without hourly states", ("--hourly", "0")))


def run(bench, printer):
    for name, options in POLICIES:
        printer.title(f"days: thirty of one publish a second, the past kept {name}")
        done = json.loads(subprocess.run([bench.days_program, "--days", "30", *options], check=True,
                                         stdout=subprocess.PIPE, text=True).stdout)
        report(printer, f"30 days, {name}", done)


def report(printer, name, done):
    left = done["left"]
    rest = sum(one["bytes"] for kind, one in left.items() if kind != "snapshots")
    printer.single(f"{name}: objects, at most", "", Values([done["most_objects"]]), aim="under 10,000")
    printer.single(f"{name}: bytes beside the snapshots, to those of one day's publishes", "times",
                   Values([rest / done["day_bytes"]]), aim="at most 1.5")
    printer.single(f"{name}: restore of any state, beside the snapshot's ranges", "requests",
                   Values([done["most_requests"]]), aim="at most 40")
    printer.single(f"{name}: restore of any state by its time", "requests", Values([done["most_requests_by_time"]]),
                   aim="at most 40")
    calls = done["calls"]
    total = sum(calls.values())
    dollars = sum(price / 1000 * sum(calls.get(one, 0) for one in kinds)
                  for price, kinds in ((WRITE, WRITES), (LIST, LISTS), (READ, READS)))
    stored = STORED * sum(one["bytes"] for one in left.values()) / 1e9
    printer.single(f"{name}: requests a publish", "", Values([total / done["publishes"]]))
    printer.single(f"{name}: S3's list price of them", "$", Values([dollars]))
    printer.single(f"{name}: and of a month of what is left", "$", Values([stored]))
    printer.note(f"{done['publishes']} publishes, {done['restore_points']} states left, {done['prunes']} prunes; "
                 + ", ".join(f"{kind}: {one['objects']} objects, {one['bytes'] / 1e6:.1f} MB"
                             for kind, one in left.items()))
    printer.note(f"a day's publishes: {done['day_bytes'] / 1e6:.1f} MB; calls: "
                 + ", ".join(f"{kind} {number}" for kind, number in calls.items()))
