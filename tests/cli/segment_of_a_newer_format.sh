#!/usr/bin/env bash
# Refused with the advice to update; it is no damage.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
add_rows app.db 10
once app.db --to backup
python3 - "$(first_object backup '*.wal.zst')" <<'PY'
import sys
path = sys.argv[1]
data = bytearray(open(path, "rb").read())
# docs/format.md: the version is the two bytes before the footer's magic.
at = data.rindex(b"CAIRNOBJ") - 2
assert data[at:at + 2] == b"\x01\x00", data[at - 8:at + 10]
data[at:at + 2] = b"\x63\x00"
open(path, "wb").write(data)
PY
expect 1 "$CAIRN" restore backup -o x.db
says 'newer Cairn'
[ ! -e x.db ]
