#!/usr/bin/env bash
# A configuration that is not good starts nothing: status 2, with file and line. What named databases have as options, a
# configuration has as keys.
. "$(dirname "$0")/common.sh"

make_db app.db
printf '[[database]]\npath = "%s/app.db"\nintervall = "1s"\n' "$dir" >cairn.toml
expect 2 "$CAIRN" replicate --config cairn.toml
says "cairn.toml:3:1: [[database]] has no key 'intervall': did you mean 'interval'?"
[ ! -e app.db-cairn ]
expect 2 "$CAIRN" replicate --config nowhere.toml
says 'there is no configuration nowhere.toml'
sed -i '$d' cairn.toml
expect 2 "$CAIRN" replicate --config cairn.toml app.db
expect 2 "$CAIRN" replicate --config cairn.toml --once
expect 2 "$CAIRN" replicate --config cairn.toml --to backup
expect 2 "$CAIRN" replicate --config cairn.toml --interval 2s
expect 2 "$CAIRN" replicate --config cairn.toml -- true
expect 2 "$CAIRN" replicate --to backup
[ ! -e app.db-cairn ]
