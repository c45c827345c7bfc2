#!/usr/bin/env bash
# The server says which region it is: that one is used.
. "$(dirname "$0")/common.sh"

start_twin --region eu-west-9
make_db app.db
once app.db --to "$(s3 app.db)"
restores_to_state_of "$(s3 app.db region=us-west-2)" app.db
restores_to_state_of "$(s3 app.db region=eu-west-9)" app.db
