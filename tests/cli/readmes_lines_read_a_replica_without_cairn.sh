#!/usr/bin/env bash
# What the README says about reading a replica with zstd and sqlite3 alone, run as it stands there.
readme=$(cd "$(dirname "$0")/../.." && pwd)/README.md
. "$(dirname "$0")/common.sh"

awk '/^## / { here = ($0 == "## Reading a replica without Cairn") }
     here && /^```/ { inside = !inside; next }
     here && inside' "$readme" >by-hand.sh
grep -q '^replica=/backup/my.db$' by-hand.sh
sed -i "s|^replica=.*|replica=$dir/backup|" by-hand.sh

make_db app.db
once app.db --to backup
for ((i = 1; i <= 12; i++)); do
  add_rows app.db 50
  [ $i != 6 ] || sql app.db 'DELETE FROM t WHERE id % 3; VACUUM'
  once app.db --to backup
done
bash -eu by-hand.sh
state_of app.db state.db
cmp copy.db state.db
