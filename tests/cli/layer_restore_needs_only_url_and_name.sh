#!/usr/bin/env bash
# A machine that has nothing but the URL and the name: every sync, by number and by time, and a single path.
. "$(dirname "$0")/layer_common.sh"

mkdir -p tree/etc/app tree/var
echo 1 >tree/etc/app/conf
echo log >tree/var/log
expect 0 sync_to store tree
cp -a tree one
echo 2 >tree/etc/app/conf
rm tree/var/log
expect 0 sync_to store tree
rm -rf state
export HOME=$dir/nobody XDG_STATE_HOME=$dir/nobody/state
away() { layer restore "$dir/store" --name web --state-dir "$dir/new-state" "$@"; }
expect 0 away -o newest
diff -r tree newest
expect 0 away -o first --sequence 1
diff -r one first
time_of_first=$(layer history store --name web --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["syncs"][0]["time"])')
expect 0 away -o then --at "$time_of_first"
diff -r one then
expect 0 away -o conf --path etc/app --json
[ "$(find conf -type f -exec cat {} +)" = 2 ]
expect 0 away --dry-run --json
[ "$(json_of 'j["sync"]["sequence"], j["layers"]')" = '(2, 2)' ]
expect 3 away -o x --sequence 7
expect 3 away -o x --path no/such
expect 3 layer restore store --name nobody -o x
says 'containers there: web'
[ ! -e x ]
