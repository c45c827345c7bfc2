#!/usr/bin/env bash
# A path as long as the kernel takes one, below a directory that makes it longer.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
python3 - <<'END'
import os
os.chdir("tree")
for _ in range(19):
    name = "d" * 200
    os.mkdir(name)
    os.chdir(name)
with open("f" * 180, "w") as file: file.write("deep")
END
expect 0 sync_to store tree --json
[ "$(json_of 'j["sync"]["entries"]')" = 21 ]
expect 0 restore_to store restored
python3 - <<'END'
import os
os.chdir("restored")
for _ in range(19): os.chdir("d" * 200)
assert open("f" * 180).read() == "deep"
END
echo more >tree/more
expect 0 sync_to store tree
expect 0 layer verify store

# What is longer than that no layer has: it is said, and nothing is published without it.
python3 - <<'DEEPER'
import os
os.chdir("tree")
for _ in range(19): os.chdir("d" * 200)
os.mkdir("e" * 200)
os.chdir("e" * 200)
with open("f" * 180, "w") as file: file.write("too deep")
DEEPER
expect 2 sync_to store tree
says 'more than 4096'
expect 0 layer history store --name web --json
[ "$(json_of 'len(j["syncs"])')" = 2 ]
rm -r tree/d*
expect 0 sync_to store tree
