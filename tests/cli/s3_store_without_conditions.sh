#!/usr/bin/env bash
# A store that ignores conditions cannot keep two writers apart, and neither can one that honours them only one after the
# other: it is refused, at every start, unless the user vouches for one writer.
. "$(dirname "$0")/common.sh"

start_twin --dialect nothing
make_db app.db
for dialect in nothing swift230 swift238; do
  control POST "dialect?name=$dialect"
  rm -rf state
  for start in first second; do
    expect 2 replicate app.db --once --timeout 1s --to "$(s3 $dialect)"
    says 'accept_single_writer'
  done
  once app.db --to "$(s3 $dialect accept_single_writer=true)"
  add_rows app.db 5
  once app.db --to "$(s3 $dialect accept_single_writer=true)"
  restores_to_state_of "$(s3 $dialect)" app.db
  add_rows app.db 5
  expect 2 replicate app.db --once --timeout 1s --to "$(s3 $dialect)"
done
