#!/usr/bin/env bash
# No archive can carry a socket: it is left out, said, and no reason to sync again and again.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
echo x >tree/file
python3 -c '
import socket
for name in "one", "two": socket.socket(socket.AF_UNIX).bind(f"tree/{name}.sock")'
expect 0 sync_to store tree
grep -q '2 sockets left out' "$out"
expect 0 layer history store --name web --json
[ "$(json_of 'j["syncs"][0]["skipped_sockets"]')" = 2 ]
expect 0 sync_to store tree
grep -q 'nothing has changed' "$out"
expect 0 restore_to store restored
[ "$(ls restored)" = file ]
