#!/usr/bin/env bash
# Past 1 GiB: the page that SQLite never uses (its lock bytes), pages beyond it, and nearly all of the file a hole.
. "$(dirname "$0")/common.sh"

# Beyond the lock-byte page 16385 of 64 KiB pages, with every page but the first ones on the free list: SQLite takes the
# pages that the list names first, so that what is written next lies on both sides.
make_large_db() {  # make_large_db <file>
  sql "$1" "PRAGMA page_size = 65536; CREATE TABLE t (id INTEGER PRIMARY KEY, v);
            INSERT INTO t (v) VALUES ('one')" >/dev/null
  python3 - "$1" <<'END'
import struct, sys
size, lock_page, last = 65536, 16385, 16400
with open(sys.argv[1], "r+b") as file:
    used = int.from_bytes(file.read(32)[28:32], "big")
    free = [page for page in range(last, used + 2, -1) if page != lock_page]
    room = size // 4 - 8  # of a trunk, which names the leaves
    trunks = [(used + 1, free[:room]), (used + 2, free[room:])]
    for (page, leaves), following in zip(trunks, [used + 2, 0]):
        file.seek((page - 1) * size)
        file.write(struct.pack(f">II{len(leaves)}I", following, len(leaves), *leaves))
    file.truncate(last * size)
    file.seek(28)
    file.write(struct.pack(">III", last, used + 1, len(free) + 2))
END
  sql "$1" 'PRAGMA journal_mode = wal' >/dev/null
}

make_large_db app.db
[ "$(sql app.db 'PRAGMA integrity_check; PRAGMA page_count')" = $'ok\n16400' ]
start_replicate app.db --to backup --interval 20ms
wait_until is_following backup
for ((i = 0; i < 5; i++)); do sql app.db "INSERT INTO t (v) VALUES (hex(randomblob(400000)))"; done
sql app.db 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
stop_replicate
restores_to_state_of backup app.db
[ "$(sql restored.db 'SELECT count(*), sum(length(v)) FROM t; PRAGMA integrity_check')" = $'6|4000003\nok' ]
# The second version of a page beyond, onto a copy of the first.
sql app.db "UPDATE t SET v = hex(randomblob(400000)) WHERE id = 2; INSERT INTO t (v) VALUES (zeroblob(3000000))"
once app.db --to backup
expect 0 "$CAIRN" restore backup -o restored.db --onto
state_of app.db state.db
cmp restored.db state.db
