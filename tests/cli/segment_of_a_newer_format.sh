#!/usr/bin/env bash
# Refused with the advice to update; it is no damage.
. "$(dirname "$0")/common.sh"

command -v xxhsum >/dev/null || skip 'xxhsum is not installed'
make_db app.db
once app.db --to backup
add_rows app.db 10
once app.db --to backup

# docs/format.md, "The tail": 184 bytes that end in the magic; the version at 174, the checksum of the tail at 160.
python3 - "$(first_object backup '*.wal.zst')" <<'PY'
import re, subprocess, sys
path = sys.argv[1]
data = bytearray(open(path, "rb").read())
end = data.rindex(b"CAIRNOBJ") + 8
tail = data[end - 184:end]
assert tail[174:176] == b"\x01\x00"
tail[174:176] = b"\x63\x00"
tail[160:168] = bytes(8)
printed = subprocess.run(["xxhsum", "-H3"], input=bytes(tail), capture_output=True, check=True).stdout.decode()
tail[160:168] = bytes.fromhex(re.search(r"\b(?:XXH3_)?([0-9a-f]{16})\b", printed)[1])[::-1]
data[end - 184:end] = tail
open(path, "wb").write(data)
PY
expect 1 "$CAIRN" restore backup -o x.db
says 'newer Cairn'
[ ! -e x.db ]
expect 1 replicate app.db --to backup --once --timeout 300ms
