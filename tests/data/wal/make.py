#!/usr/bin/env python3
"""Makes the golden WAL files: tests/data/wal/<case>/wal and <case>/facts.

The WALs are written by SQLite itself (Python's sqlite3 module); the damaged ones are such files with bytes changed. The
facts come from two sides that know nothing of Cairn: a plain reading of SQLite's file format document below, and SQLite's
own recovery, which opens a copy of database and WAL and says how many frames it believes in. Both must agree.

A case that exists is never rewritten: salts are random, and what is committed is what readers have to understand.
Run it without arguments after adding a case.
"""
import os
import shutil
import sqlite3
import struct
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def checksum(order, seed, data):
    a, b = seed
    words = struct.unpack(("<" if order == "little" else ">") + "%dI" % (len(data) // 4), data)
    for i in range(0, len(words), 2):
        a = (a + words[i] + b) & 0xFFFFFFFF
        b = (b + words[i + 1] + a) & 0xFFFFFFFF
    return a, b


def walk(wal):
    """Header and valid frames, as the file format document has them."""
    facts = {"header": "corrupt"}
    if len(wal) < 32:
        return facts
    magic, version, size, sequence, salt1, salt2, sum1, sum2 = struct.unpack(">8I", wal[:32])
    if magic not in (0x377F0682, 0x377F0683) or version != 3007000:
        return facts
    if size not in [512 << i for i in range(8)]:
        return facts
    order = "big" if magic & 1 else "little"
    running = checksum(order, (0, 0), wal[:24])
    if running != (sum1, sum2):
        return facts
    facts = {"header": "ok", "order": order, "page_size": size, "checkpoint_sequence": sequence,
             "salts": "%d %d" % (salt1, salt2)}
    valid, commits, commit_sum, offset, reason = 0, [], (0, 0), 32, "end"
    while offset < len(wal):
        frame = wal[offset:offset + 24 + size]
        if len(frame) < 24 + size:
            reason = "short"
            break
        page, commit, fsalt1, fsalt2, fsum1, fsum2 = struct.unpack(">6I", frame[:24])
        if (fsalt1, fsalt2) != (salt1, salt2):
            reason = "salts"
            break
        following = checksum(order, running, frame[:8] + frame[24:])
        if page == 0 or following != (fsum1, fsum2):
            reason = "page" if page == 0 else "checksum"
            break
        running = following
        valid += 1
        offset += 24 + size
        if commit:
            commits.append((valid, commit))
            commit_sum = running
    facts["frames_valid"] = valid
    facts["commits"] = " ".join("%d:%d" % c for c in commits)
    facts["last_commit_frame"] = commits[-1][0] if commits else 0
    facts["last_commit_sum"] = "%d %d" % commit_sum
    facts["stops_at"] = reason
    return facts


def ask_sqlite(database, wal):
    """How many frames SQLite's recovery takes from the WAL; 'refused' when it does not open the database."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "db")
        with open(path, "wb") as f:
            f.write(database)
        with open(path + "-wal", "wb") as f:
            f.write(wal)
        connection = sqlite3.connect(path)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        except sqlite3.OperationalError:
            return "refused"
        finally:
            connection.close()


class Maker:
    """A database in a temporary folder, in WAL mode, that nobody checkpoints unasked."""

    def __init__(self, page_size=1024):
        self.folder = tempfile.mkdtemp()
        self.path = os.path.join(self.folder, "db")
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        self.run("PRAGMA page_size=%d" % page_size)
        self.run("PRAGMA journal_mode=WAL")
        self.run("PRAGMA wal_autocheckpoint=0")
        self.run("CREATE TABLE t(id INTEGER PRIMARY KEY, text)")

    def run(self, sql, *values):
        return self.connection.execute(sql, values).fetchall()

    def insert(self, count, size=100):
        self.run("BEGIN")
        for i in range(count):
            self.run("INSERT INTO t(text) VALUES(?)", chr(97 + i % 26) * size)
        self.run("COMMIT")

    def files(self):
        with open(self.path, "rb") as f:
            database = f.read()
        with open(self.path + "-wal", "rb") as f:
            wal = f.read()
        return database, wal

    def done(self):
        files = self.files()
        self.connection.close()
        shutil.rmtree(self.folder)
        return files


def frame_at(number, size):
    return 32 + (number - 1) * (24 + size)


def resum(wal, order):
    """The same WAL, its sums made anew with words of the given byte order."""
    header = bytearray(wal[:32])
    struct.pack_into(">I", header, 0, 0x377F0683 if order == "big" else 0x377F0682)
    running = checksum(order, (0, 0), bytes(header[:24]))
    struct.pack_into(">2I", header, 24, *running)
    size = struct.unpack(">I", header[8:12])[0]
    out = bytes(header)
    for offset in range(32, len(wal), 24 + size):
        frame = bytearray(wal[offset:offset + 24 + size])
        running = checksum(order, running, bytes(frame[:8]) + bytes(frame[24:]))
        struct.pack_into(">2I", frame, 16, *running)
        out += bytes(frame)
    return out


def changed(wal, offset, value):
    return wal[:offset] + bytes([wal[offset] ^ value]) + wal[offset + 1:]


def three_commits(page_size=1024):
    maker = Maker(page_size)
    maker.insert(3)
    maker.insert(2)
    return maker.done()


def two_commits():
    maker = Maker()
    maker.insert(40)
    return maker.done()


def torn_tail():
    maker = Maker()
    maker.insert(3)
    maker.insert(30)
    database, wal = maker.done()
    return database, wal[:-700]


def stale_frames():
    maker = Maker()
    maker.insert(40)
    maker.run("PRAGMA wal_checkpoint(RESTART)")
    maker.insert(1)
    return maker.done()


def spilled_uncommitted():
    """Frames of a transaction that is not committed yet, written early because the cache is too small."""
    maker = Maker()
    maker.insert(3)
    maker.run("PRAGMA cache_size=2")
    maker.run("BEGIN")
    for _ in range(20):
        maker.run("INSERT INTO t(text) VALUES(?)", "x" * 400)
    files = maker.files()
    maker.run("ROLLBACK")
    maker.done()
    return files


def spilled_rewritten():
    """A transaction that wrote pages early, changed them again and committed: its frames were written twice."""
    maker = Maker()
    maker.insert(3)
    maker.run("PRAGMA cache_size=2")
    maker.run("BEGIN")
    for _ in range(20):
        maker.run("INSERT INTO t(text) VALUES(?)", "x" * 400)
    maker.run("UPDATE t SET text = text || 'y'")
    maker.run("COMMIT")
    return maker.done()


def shrunk():
    maker = Maker()
    maker.insert(60)
    maker.run("DELETE FROM t WHERE id > 2")
    maker.run("VACUUM")
    return maker.done()


def page_zero():
    database, wal = three_commits()
    offset = frame_at(4, 1024)
    return database, resum(wal[:offset] + bytes(4) + wal[offset + 4:], "little")


def with_wal(change):
    database, wal = three_commits()
    return database, change(wal)


CASES = {
    "ok": three_commits,
    "two_commits": two_commits,
    "torn_tail": torn_tail,
    "stale_frames": stale_frames,
    "spilled_uncommitted": spilled_uncommitted,
    "spilled_rewritten": spilled_rewritten,
    "shrunk": shrunk,
    "page_zero": page_zero,
    "page_512": lambda: three_commits(512),
    "page_65536": lambda: three_commits(65536),
    "big_endian": lambda: with_wal(lambda wal: resum(wal, "big")),
    "salt_mismatch": lambda: with_wal(lambda wal: changed(wal, frame_at(4, 1024) + 11, 1)),
    "frame_checksum": lambda: with_wal(lambda wal: changed(wal, frame_at(4, 1024) + 24 + 1000, 0x10)),
    "header_checksum": lambda: with_wal(lambda wal: changed(wal, 14, 1)),
    "bad_magic": lambda: with_wal(lambda wal: changed(wal, 0, 1)),
    "bad_version": lambda: with_wal(lambda wal: resum(changed(wal, 7, 1), "little")),
    "header_only": lambda: with_wal(lambda wal: wal[:32]),
    "truncated_header": lambda: with_wal(lambda wal: wal[:31]),
    "empty": lambda: with_wal(lambda wal: b""),
}


def main():
    for name, make in CASES.items():
        folder = os.path.join(HERE, name)
        if os.path.exists(folder):
            continue
        database, wal = make()
        facts = walk(wal)
        verdict = ask_sqlite(database, wal)
        expected = "refused" if name == "bad_version" else facts.get("last_commit_frame", 0)
        if verdict != expected:
            sys.exit("%s: SQLite takes %s frames, the reading of the format %s" % (name, verdict, expected))
        facts["sqlite_takes"] = verdict
        os.makedirs(folder)
        with open(os.path.join(folder, "wal"), "wb") as f:
            f.write(wal)
        with open(os.path.join(folder, "facts"), "w") as f:
            for key, value in facts.items():
                f.write("%s: %s\n" % (key, value))
        print(name, len(wal), facts)


main()
