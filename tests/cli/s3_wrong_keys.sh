#!/usr/bin/env bash
# Keys that are wrong, or nowhere: one sentence that says what to do, and no secret in it.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
refused() {  # refused <words>...: each command says so
  local command
  for command in "replicate app.db --once --timeout 1s --to" 'snapshot app.db --to'; do
    expect 6 $command "$(s3 app.db)"
    for words in "$@"; do says "$words"; done
  done
  for command in history list verify 'restore -o x.db'; do
    expect 6 "$CAIRN" $command "$(s3 app.db)"
    for words in "$@"; do says "$words"; done
  done
  no_secrets
}
AWS_SECRET_ACCESS_KEY=unsaid.other refused 'the secret access key (from environment) does not belong to the access key id: check both'
AWS_ACCESS_KEY_ID=nobody refused \
  "the store does not know the access key id (from environment): check the keys, and that they are for $endpoint"
AWS_SESSION_TOKEN=unsaid refused 'the keys (from environment) have expired: renew them'
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
refused 'no credentials for the store were found' "$dir/.aws/credentials" \
  "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or see 'cairn store --help' for the other ways"
export AWS_PROFILE=wrok
refused "there is no profile 'wrok'" 'choose another with AWS_PROFILE'
unset AWS_PROFILE
AWS_ACCESS_KEY_ID=half refused 'AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not: set both'
[ "$(requests put_object)" = 0 ]
