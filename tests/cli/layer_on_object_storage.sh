#!/usr/bin/env bash
# An S3 store: parts, faults, nothing asked when nothing has changed, and one path fetched with few requests.
. "$(dirname "$0")/layer_common.sh"

start_twin
mkdir -p tree/etc
head -c 30000000 /dev/urandom >tree/big
echo 1 >tree/etc/conf
expect 0 sync_to "$(s3 layers)" tree --part-size 5MiB --json
[ "$(json_of 'j["store"]["requests"]["write"] > 5 and j["sync"]["full"]')" = True ]
expect 0 restore_to "$(s3 layers)" restored
diff -r tree restored
[ "$(requests upload_part)" -ge 4 ] || fail "$(counts)"
echo 2 >tree/etc/conf
expect 0 sync_to "$(s3 layers)" tree
find tree -exec touch -d '2020-01-01' {} +
expect 0 sync_to "$(s3 layers)" tree

# Files whose change is as young as the sync are hashed by the next one, but the store is not asked.
before=$(counts)
expect 0 sync_to "$(s3 layers)" tree
grep -q 'nothing has changed' "$out"
[ "$(counts)" = "$before" ] || fail 'something was asked of the store although nothing had changed'

control POST counts/reset
expect 0 restore_to "$(s3 layers)" one --path etc/conf --json
[ "$(find one -type f -exec cat {} +)" = 2 ]
[ "$(json_of 'j["requests"] < 20 and j["fetched_bytes"] < 8 * 2**20')" = True ]
expect 0 layer verify "$(s3 layers)"
expect 0 layer list "$(s3 layers)"
expect 0 layer prune "$(s3 layers)" --grace 0
expect 0 restore_to "$(s3 layers)" again
diff -r tree again
expect 3 layer list "$(s3 elsewhere)"
no_secrets
