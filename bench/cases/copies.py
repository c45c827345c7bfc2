"""What a second snapshot of a large database sends, when the store copies what is the same in the first one.

The server is that of the tests, with parts as small as Amazon takes them. One page in a hundred has changed: side by
side, or anywhere. Scattered ones leave no range of the old snapshot as it was, since 64 pages are compressed together.
"""
import os
import random
import shutil
import sqlite3
import subprocess

from measure.figures import Values
from measure.twin import Twin, environment

CHANGED = 0.01


def page_count(database):
    connection = sqlite3.connect(database)
    count = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    return count


def change(database, rows):
    """Each of these rows gets other text of the same length, and so do the pages that they lie on."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = wal")
    with connection:
        connection.executemany("UPDATE notes SET body = substr(body, 2) || substr(body, 1, 1) WHERE id = ?",
                               ((row,) for row in rows))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def rows_of_pages(database, scattered):
    """Rows that lie on a hundredth of all pages, as far as rows are spread evenly."""
    connection = sqlite3.connect(database)
    last = connection.execute("SELECT max(id) FROM notes").fetchone()[0]
    connection.close()
    if not scattered:
        count = int(last * CHANGED)
        return range(last // 2, last // 2 + count)
    return random.Random(1).sample(range(1, last + 1), int(page_count(database) * CHANGED))


def take(bench, folder, twin, database, name):
    twin.reset_counts()
    subprocess.run([bench.cairn, "snapshot", database, "--to", twin.url(name), "--state-dir",
                    os.path.join(folder, "state")], check=True, env=environment(folder), stdout=subprocess.DEVNULL)
    return twin.counts()


def run(bench, printer):
    printer.title(f"copies: a second snapshot of a database of {bench.large_mib} MiB, one page in a hundred changed")
    for how in ("side by side", "scattered"):
        folder = bench.folder("copies")
        database = bench.copy_of_database(bench.large_mib, folder)
        with Twin(bench.twin_program, folder, "--believe-payload", "--directory", os.path.join(folder, "twin")) as twin:
            first = take(bench, folder, twin, database, "app.db")
            change(database, rows_of_pages(database, how == "scattered"))
            second = take(bench, folder, twin, database, "app.db")
        shutil.rmtree(folder)
        printer.compare(f"copies: sent, changed pages {how}", "MB", "the first snapshot",
                        Values([first["bytes_in"] / 1e6]), "the second, and its segment",
                        Values([second["bytes_in"] / 1e6]))
        printer.single(f"copies: parts that the store copied, {how}", "", Values([second.get("copy_part", 0)]))
