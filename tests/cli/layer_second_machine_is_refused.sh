#!/usr/bin/env bash
# A name has one writer: another machine is refused until it restores, or says that its directory is right.
. "$(dirname "$0")/layer_common.sh"

mkdir first second
echo first >first/file
echo second >second/file
machine() { layer sync "$1" --to store --name web --state-dir "$dir/state-of-$1" "${@:2}"; }
expect 0 machine first
expect 4 machine second
says adopt
expect 0 machine second --adopt local
expect 0 layer restore store --name web -o restored
diff -r second restored
echo more >first/more
expect 4 machine first
expect 0 layer history store --name web --json
[ "$(json_of '[s["sequence"] for s in j["syncs"]]')" = '[1, 2]' ]
# By a restore: the third machine goes on from what it has fetched.
expect 0 layer restore store --name web -o third --state-dir state-of-third
echo third >third/third
expect 0 machine third
[ "$(layer history store --name web | tail -n 1 | awk '{ print $1 }')" = 3 ]
