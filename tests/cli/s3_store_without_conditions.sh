#!/usr/bin/env bash
# A store that ignores conditions cannot keep two writers apart: it is refused, unless the user vouches for one writer.
. "$(dirname "$0")/common.sh"

start_twin --dialect nothing
make_db app.db
expect 2 replicate app.db --once --timeout 1s --to "$(s3 app.db)"
says 'accept_single_writer'
once app.db --to "$(s3 app.db accept_single_writer=true)"
add_rows app.db 5
once app.db --to "$(s3 app.db accept_single_writer=true)"
restores_to_state_of "$(s3 app.db)" app.db
