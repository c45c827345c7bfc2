#!/usr/bin/env bash
# Very many names in one directory: synced, one of them changed and one removed, and brought back.
. "$(dirname "$0")/layer_common.sh"

mkdir -p tree/many
python3 -c '
for i in range(100000): open(f"tree/many/file {i}", "w").close()'
expect 0 sync_to store tree --json
[ "$(json_of 'j["sync"]["entries"]')" = 100002 ]
echo changed >'tree/many/file 77777'
rm 'tree/many/file 5'
expect 0 sync_to store tree --json
[ "$(json_of 'j["sync"]["entries"] < 10 and j["sync"]["size_bytes"] < 20000')" = True ]
expect 0 restore_to store restored
list_of() { (cd "$1" && find . -type d -printf '%p %T@\n' -o -printf '%p %s %T@\n' | sort); }
diff <(list_of tree) <(list_of restored)
