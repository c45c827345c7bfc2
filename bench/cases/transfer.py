"""One large object up to and down from an S3 server, against as many parallel transfers of libcurl alone.

The server is that of the tests, on loopback, without and with 30 ms between a request and its answer. It keeps of an
object's bytes only their number and checks nothing of them, so that it costs next to nothing: a real one is another
machine. The first upload alone is to the server as the tests have it, which hashes what comes (SHA-256 and MD5).

libcurl's side is as plain as can be: one request a connection, hashed and signed before the clock runs. Over http Cairn
has to hash what it sends, since the hash is signed, and so has whoever sends something for the first time: uploads over
http are compared with that, too. Over https a CRC does. What is read comes in ranges as long as a
restore of so much over so many connections would make them (longest_range_bytes in src/restore/fetch.h).
"""
import json
import subprocess

from measure.figures import Values
from measure.machine import settle_disk
from measure.twin import Twin, environment

CONNECTIONS = 8
RANGES_OF_A_CONNECTION = 4
LEAST_RANGE_MIB, LONGEST_RANGE_MIB = 8, 64
LATENCIES_MS = (0, 30)
AIM = "at least 0.8"


def range_mib(bench):
    share = bench.large_mib // (RANGES_OF_A_CONNECTION * CONNECTIONS)
    return min(max(share, LEAST_RANGE_MIB), LONGEST_RANGE_MIB)


def move(bench, folder, twin, what, who, key, keep=False, hashing="before"):
    words = [bench.s3_program, what, who, "--endpoint", twin.endpoint, "--key", key, "--mib", str(bench.large_mib),
             "--hash", hashing, "--connections", str(CONNECTIONS), "--piece-mib", str(range_mib(bench)),
             "--keep", "yes" if keep else "no"]
    if twin.certificate:
        words += ["--ca", twin.certificate]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment(folder))
    return json.loads(done.stdout)


def compare(bench, printer, folder, twin, what, how, hashing="before"):
    speeds = {"curl": Values(), "cairn": Values()}
    cpu = {"curl": Values(), "cairn": Values()}
    peak = Values()
    for number in range(bench.runs + 1):
        if number == 1:  # the first round only makes the machine's memory its own
            for values in (*speeds.values(), *cpu.values(), peak):
                values.clear()
        for who in ("curl", "cairn"):
            key = "read" if what == "get" else "sent"
            taken = move(bench, folder, twin, what, who, key, hashing=hashing)
            speeds[who].add(taken["mb_per_s"])
            cpu[who].add(taken["cpu_s"])
            if who == "cairn":
                peak.add(taken["peak_mib"])
    direction = "upload" if what == "put" else "download"
    name = f"{direction} of {bench.large_mib} MiB, {how}"
    printer.compare(name, "MB/s", f"{CONNECTIONS} transfers of libcurl", speeds["curl"], "Cairn's S3 store",
                    speeds["cairn"], aim=AIM)
    printer.compare(f"{name}, CPU", "s", "libcurl", cpu["curl"], "Cairn's S3 store", cpu["cairn"])
    # All of it: a part is read from its source as it goes, and a range is taken as it comes.
    printer.single(f"{name}: memory", "MiB", peak, aim="under 64")


def run(bench, printer):
    settle_disk()
    folder = bench.folder("transfer-checked")
    with Twin(bench.twin_program, folder) as twin:
        printer.title(f"transfer: {bench.large_mib} MiB over http to a server that hashes what comes")
        compare(bench, printer, folder, twin, "put", "http, 0 ms, hashed by the server too")
    for scheme in ("http", "https"):
        folder = bench.folder(f"transfer-{scheme}")
        with Twin(bench.twin_program, folder, "--drop-bodies", tls=scheme == "https") as twin:
            move(bench, folder, twin, "put", "cairn", "read", keep=True)
            for latency_ms in LATENCIES_MS:
                printer.title(f"transfer: {bench.large_mib} MiB over {scheme}, {latency_ms} ms to an answer")
                twin.control("POST", f"latency?ms={latency_ms}")
                for what in ("put", "get"):
                    compare(bench, printer, folder, twin, what, f"{scheme}, {latency_ms} ms")
                if scheme == "http":
                    compare(bench, printer, folder, twin, "put", f"http, {latency_ms} ms, hashed by libcurl's side too",
                            hashing="within")
