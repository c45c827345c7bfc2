#!/usr/bin/env bash
# Mistakes and things in the way: one sentence and the right exit status each.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
echo x >tree/file
expect 2 layer sync
expect 2 layer sync tree --to store
says --name
expect 2 layer syn tree
says "did you mean 'sync'"
expect 2 sync_to store nowhere
expect 2 sync_to store tree/file
expect 2 sync_to store tree --part-size much
expect 2 sync_to store tree --uploads 0
expect 2 sync_to store tree --marks docker
expect 2 layer watch tree --to store --name web --state-dir state --interval soon
expect 3 layer list store
expect 3 layer history store --name web
expect 3 layer verify store
expect 3 restore_to store target
expect 0 sync_to store tree
expect 2 layer restore store --name web
says '-o DIR'
expect 2 restore_to store target --lower tree
expect 2 restore_to store target --at yesterday
expect 0 restore_to store target
expect 4 restore_to store target
expect 0 restore_to store target --overwrite
: >a_file
expect 6 layer sync tree --to "file://$dir/a_file/x" --name web --state-dir other
# Nothing has changed: not a failure, so nothing is said on standard error, and its own status.
wait_until eval '! layer check tree --to store --name web --state-dir state'
layer check tree --to store --name web --state-dir state >"$out" 2>"$err" && fail 'nothing had changed' || [ $? = 3 ]
[ ! -s "$err" ]
echo y >tree/file
expect 0 layer check tree --to store --name web --state-dir state
for command in sync check watch restore list history verify prune; do
  expect 0 layer $command --help
  grep -q -i "usage: cairn layer $command" "$out"
done
expect 0 layer
