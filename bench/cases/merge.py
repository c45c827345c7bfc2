"""Merges of level-0 segments in memory, against zstd decompressing the same inputs and compressing the same output.

Both use all cores and zstd's level 3. The segments are a database's pages, each of them as a level-0 segment is
published: many small ones, as of a busy database at one a second, and few large ones.
"""
import json
import subprocess

from measure.figures import Values

SHAPES = (  # segments, pages of each: half a minute, an hour, and some imports
    ("30 segments of 500 pages", 30, 500),
    ("3600 segments of 10 pages", 3600, 10),
    ("4 segments of 20000 pages", 4, 20000),
)
AIM = "at least 0.8"


def run(bench, printer):
    database = bench.database(min(bench.large_mib, 256))
    for kind in ("bundle", "squashed"):
        printer.title(f"merge: {kind}")
        for name, segments, pages in SHAPES:
            words = [bench.merge_program, database, "--kind", kind, "--segments", str(segments), "--pages", str(pages),
                     "--runs", str(bench.runs)]
            done = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            megabytes = (done["in_bytes"] + done["out_bytes"]) / 1e6
            printer.compare(f"{kind} of {name}", "MB/s read and written", "zstd alone",
                            Values(megabytes / seconds for seconds in done["zstd_s"]), "merge",
                            Values(megabytes / seconds for seconds in done["merge_s"]), aim=AIM)
            printer.compare(f"{kind} of {name}, CPU", "s", "zstd alone", Values(done["zstd_cpu_s"]), "merge",
                            Values(done["merge_cpu_s"]), ratio="a/b")
            printer.note(f"{done['stored_in_bytes'] / 1e6:.1f} MB became {done['stored_out_bytes'] / 1e6:.1f} MB")
