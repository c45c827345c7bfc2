#!/usr/bin/env bash
# verify names what is damaged or missing; a restore of it fails and leaves the target alone.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
head -c 3000000 /dev/urandom >tree/noise
expect 0 sync_to store tree
echo more >tree/more
expect 0 sync_to store tree
expect 0 layer verify store --json
[ "$(json_of 'j["ok"], j["containers"][0]["layers"], j["containers"][0]["problems"]')" = '(True, 2, [])' ]
object=$(find store -name '*.tar.zst' -size +1M)
cp "$object" whole
python3 - "$object" <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(1_000_000)
    byte = file.read(1)
    file.seek(1_000_000)
    file.write(bytes([byte[0] ^ 1]))
END
expect_problem() { local got=0; layer verify store >"$out" 2>"$err" || got=$?; [ $got = 5 ] && grep -q '^problem: web: sync 1' "$out"; }
expect_problem
mkdir target && echo old >target/old
expect 5 restore_to store target --overwrite
[ "$(cat target/old)" = old ] && [ "$(ls target)" = old ]
[ "$(ls -A | grep -c cairn-)" = 0 ] || fail 'something was left behind'
rm "$object"
expect_problem
expect 5 restore_to store new
[ ! -e new ]
cp whole "$object"
expect 0 layer verify store
expect 0 restore_to store target --overwrite
diff -r tree target
