#!/usr/bin/env bash
# Keys that the store refuses are looked up again: who rotates them in the shared file restarts nothing.
. "$(dirname "$0")/common.sh"

start_twin --directory "$dir/bucket"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
mkdir .aws
write_keys() { printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$1" "$2" >.aws/credentials; }
write_keys "$key_id" "$secret_key"
url=$(s3 app.db)
port=${endpoint##*:}
make_db app.db
start_replicate app.db --to "$url" --interval 10ms
wait_until grep -q 'snapshot published' "$log"
stop_twin

key_id=new-key-id secret_key=unsaid/new
start_twin --directory "$dir/bucket" --port "$port"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
add_rows app.db 10
wait_until grep -q 'the store does not know the access key id (from profile default)' "$log"
write_keys "$key_id" "$secret_key"
is_published() { "$CAIRN" restore "$url" -o now.db --overwrite >/dev/null 2>&1 && [ "$(count now.db)" = 13 ]; }
wait_until is_published
stop_replicate
restores_to_state_of "$url" app.db
no_secrets
