#!/usr/bin/env bash
# Nothing to replicate: it says so, and neither makes nor changes anything.
. "$(dirname "$0")/common.sh"

expect 3 replicate none.db --to backup --once
says 'none.db does not exist'
expect 3 replicate folder/none.db --to backup --once
says 'none.db does not exist'
: >empty.db
touch -d '2020-01-01' empty.db
expect 3 replicate empty.db --to backup --once
says 'empty.db is empty: there is no database in it yet'
[ ! -s empty.db ]
[ "$(date -r empty.db +%Y)" = 2020 ] || fail 'the empty file was written to'
mkdir folder.db
expect 2 replicate folder.db --to backup --once
says 'folder.db is a folder: name the database file'
left=$(find . -mindepth 1 ! -path './state*' ! -name out ! -name err ! -name log | sort | xargs)
[ "$left" = './empty.db ./folder.db' ] || fail "these are there now: $left"
