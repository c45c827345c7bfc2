#!/usr/bin/env bash
# Without its local state an unchanged directory goes on, with every file compared; a changed one asks which is right.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
head -c 100000 /dev/urandom >tree/file
expect 0 sync_to store tree
rm -r state
expect 0 sync_to store tree
grep -q 'nothing has changed' "$out"
echo more >tree/more
expect 0 sync_to store tree
rm -r state
echo 2 >tree/more
expect 4 sync_to store tree
expect 0 sync_to store tree --adopt local --json
[ "$(json_of 'j["sync"]["sequence"], j["sync"]["full"]')" = '(3, False)' ]
expect 0 restore_to store restored
diff -r tree restored
