#!/usr/bin/env bash
# Objects that were published from here are gone: a person decides.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
cp -r backup older
for n in 1 2; do add_rows app.db 5; once app.db --to backup; done
rm -rf backup && mv older backup
expect 4 replicate app.db --to backup --once
says '--adopt local'
expect 0 replicate app.db --to backup --once --adopt local
restores_to_state_of backup app.db
expect 0 "$CAIRN" verify backup
