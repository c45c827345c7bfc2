#!/usr/bin/env bash
# Empty, but a database: one page is a state like any other, and so is what it becomes when its last table goes.
. "$(dirname "$0")/common.sh"

sql app.db 'PRAGMA journal_mode = wal' >/dev/null
once app.db --to backup
restores_to_state_of backup app.db
sql app.db 'CREATE TABLE t (v); INSERT INTO t VALUES (zeroblob(100000))'
once app.db --to backup
restores_to_state_of backup app.db
sql app.db 'DROP TABLE t; VACUUM'
once app.db --to backup
restores_to_state_of backup app.db
[ "$(sql restored.db 'PRAGMA page_count')" = 1 ]
[ "$(newest_sequence backup)" = 2 ]
