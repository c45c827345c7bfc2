#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db one.db
make_db two.sqlite3
add_rows two.sqlite3 10
expect 0 replicate one.db two.sqlite3 --to backup/ --once
restores_to_state_of backup/one.db one.db
restores_to_state_of backup/two.sqlite3 two.sqlite3
"$CAIRN" list backup | grep -q '^two.sqlite3 '
