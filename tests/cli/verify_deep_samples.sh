#!/usr/bin/env bash
# verify --deep restores states from the oldest to the newest, says which, and asks SQLite about each.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to replica
for n in 1 2 3 4 5 6 7 8 9; do
  add_rows app.db 5
  once app.db --to replica
done
expect 0 "$CAIRN" verify replica --deep
grep -qE '^restored and asked SQLite about: sequences 0, [1-8], [1-8], [1-8], 9$' "$out"
expect 0 "$CAIRN" verify replica --deep --samples 1
grep -qx 'restored and asked SQLite about: sequence 9' "$out"
expect 0 "$CAIRN" verify replica --deep --samples 99 --json
python3 -c 'import json, sys; assert json.load(sys.stdin)["sampled"] == list(range(10))' <"$out"
expect 2 "$CAIRN" verify replica --deep --samples 0
