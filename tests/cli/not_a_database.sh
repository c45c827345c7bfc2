#!/usr/bin/env bash
# Text, or bytes as of an encrypted database: one sentence, nothing is published.
. "$(dirname "$0")/common.sh"

head -c 20000 /dev/zero | tr '\0' 'x' >text.db
head -c 20480 /dev/urandom >encrypted.db
for db in text.db encrypted.db; do
  cp $db before
  expect 2 replicate $db --to backup --once
  says $db
  cmp $db before
  [ ! -e backup ] || [ -z "$(find backup -type f -name '*.zst')" ]
done
