#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
sql app.db 'DELETE FROM t'
rm -rf state  # nothing proves that this database continues the replica
expect 4 replicate app.db --to backup --exec 'touch was-started'
[ ! -e was-started ]
