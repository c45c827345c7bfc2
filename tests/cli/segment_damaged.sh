#!/usr/bin/env bash
# Cut short, a flipped bit, another file: status 5, one sentence that names it, nothing is touched.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
add_rows app.db 50
once app.db --to backup
object=$(first_object backup '*.wal.zst')
cp "$object" whole
size=$(stat -c %s whole)
damaged() {
  expect 5 "$CAIRN" restore backup -o x.db
  says "$(basename "$object")"
  [ ! -e x.db ]
  local status=0
  "$CAIRN" verify backup >"$out" 2>"$err" || status=$?
  [ $status = 5 ]
  cp -f whole "$object"
}
chmod u+w "$object"
for length in 0 1 $((size / 2)) $((size - 1)); do head -c $length whole >"$object"; damaged; done
for at in 10 $((size / 3)) $((size / 2)) $((size - 40)) $((size - 2)); do
  python3 -c '
import sys
data = bytearray(open("whole", "rb").read())
data[int(sys.argv[1])] ^= 4
open(sys.argv[2], "wb").write(data)' $at "$object"
  damaged
done
head -c 5000 /dev/urandom >"$object"; damaged
echo hello | zstd -q >"$object"; damaged
expect 0 "$CAIRN" verify backup
