#!/usr/bin/env bash
# What these tests look for secrets with finds them, wherever a command may leave one.
. "$(dirname "$0")/common.sh"

mkdir -p state/app.db
echo 'nothing to see' | tee out err log state/app.db/json >/dev/null
no_secrets
for file in "$out" "$err" "$log" out.2 state/app.db/json now.db; do
  printf 'key \0 %s\n' "$secret_key" >>"$file"
  ! (no_secrets) 2>"$dir.said" || fail "no_secrets passes over $file"
  grep -qF "in $(basename "$file")" "$dir.said" || fail "no_secrets does not name $file: $(cat "$dir.said")"
  rm -f "$file" "$dir.said"
done
no_secrets
