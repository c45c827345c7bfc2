#!/usr/bin/env bash
# Mistakes in the command line: status 2 and one sentence; help is no mistake.
. "$(dirname "$0")/common.sh"

expect 2 "$CAIRN" restor backup
says "did you mean 'restore'"
expect 2 "$CAIRN" replicate
expect 2 "$CAIRN" replicate a.db --interval soon
says --interval
expect 2 "$CAIRN" replicate a.db --adopt both
expect 2 "$CAIRN" replicate a.db --no-such-option
expect 2 "$CAIRN" replicate a.db --once --exec true
expect 2 "$CAIRN" replicate a.db --exec true -- true
expect 2 "$CAIRN" replicate a.db --exec ''
says 'a program is missing'
expect 2 "$CAIRN" replicate a.db --
says 'no program stands behind --'
expect 2 "$CAIRN" restore backup
says '-o FILE'
expect 2 "$CAIRN" --log-level info
expect 0 "$CAIRN"
grep -q 'Exit status' "$out"
for command in replicate snapshot restore list history verify version; do
  expect 0 "$CAIRN" $command --help
  grep -q -i 'usage: cairn '$command "$out"
done
expect 0 "$CAIRN" version
grep -q '^cairn [0-9]' "$out"
