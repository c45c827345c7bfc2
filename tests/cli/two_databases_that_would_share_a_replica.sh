#!/usr/bin/env bash
# The same file name below one --to, and the same database named twice.
. "$(dirname "$0")/common.sh"

mkdir a b
make_db a/app.db
make_db b/app.db
expect 2 replicate a/app.db b/app.db --to backup --once
says 'would share the replica'
[ ! -e backup ]
ln -s a/app.db link.db
expect 2 replicate a/app.db link.db --once
says 'the same database'
ln a/app.db hard-link.db
expect 2 replicate a/app.db hard-link.db --once
expect 0 replicate a/app.db b/app.db --once  # each into its own folder
restores_to_state_of a/app.db-cairn a/app.db
restores_to_state_of b/app.db-cairn b/app.db
