#!/usr/bin/env bash
# Costs a comparison, never data: an equal database goes on.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
add_rows app.db 10
once app.db --to backup
rm -rf state
once app.db --to backup
add_rows app.db 10
once app.db --to backup
[ "$(newest_sequence backup)" = 2 ]
restores_to_state_of backup app.db
