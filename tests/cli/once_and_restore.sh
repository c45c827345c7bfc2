#!/usr/bin/env bash
# --once publishes everything that is committed; restore brings it back byte for byte.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
restores_to_state_of backup app.db
add_rows app.db 100
once app.db --to backup
restores_to_state_of backup app.db
[ "$(count restored.db)" = 103 ]
[ "$(newest_sequence backup)" = 1 ]  # the difference, not another snapshot
once app.db --to backup
[ "$(newest_sequence backup)" = 1 ]  # nothing has changed: nothing is published
