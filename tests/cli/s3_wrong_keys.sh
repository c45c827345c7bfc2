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
AWS_SECRET_ACCESS_KEY=unsaid.other refused 'secret'
AWS_ACCESS_KEY_ID=nobody refused 'access key id'
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
refused 'no credentials for the store were found' "$dir/.aws/credentials" 'AWS_ACCESS_KEY_ID'
export AWS_PROFILE=wrok
refused "there is no profile 'wrok'"
unset AWS_PROFILE
AWS_ACCESS_KEY_ID=half refused 'AWS_SECRET_ACCESS_KEY is not'
[ "$(requests put_object)" = 0 ]
