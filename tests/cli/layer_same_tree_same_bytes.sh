#!/usr/bin/env bash
# The same tree is the same object, whoever syncs it, in whatever order its files were made.
. "$(dirname "$0")/layer_common.sh"

mkdir one
for i in $(seq 300); do echo "contents $i" >"one/f$i"; done
head -c 5000000 /dev/urandom >one/big
find one -exec touch -d '2020-01-01 00:00:00.5' {} +
mkdir two
for f in $(ls one | tac); do cp -p "one/$f" "two/$f"; done
touch -r one two
expect 0 layer sync one --to store1 --name web --state-dir state1
expect 0 layer sync two --to store2 --name other --state-dir state2 --part-size 5MiB --uploads 1
cmp "$(first_object store1 '*.tar.zst')" "$(first_object store2 '*.tar.zst')"
[ "$(basename "$(first_object store1 '*.tar.zst')")" = "$(basename "$(first_object store2 '*.tar.zst')")" ]
