#!/usr/bin/env bash
# A database in rollback mode is switched, and replicated.
. "$(dirname "$0")/common.sh"

sql app.db 'CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t (v) VALUES (1)'
once app.db --to backup
[ "$(sql app.db 'PRAGMA journal_mode')" = wal ]
restores_to_state_of backup app.db
