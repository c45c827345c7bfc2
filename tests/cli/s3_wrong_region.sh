#!/usr/bin/env bash
# The server says which region it is: that one is used, once. If that is refused too, it is for a person to look.
. "$(dirname "$0")/common.sh"

start_twin --region eu-west-9
make_db app.db
once app.db --to "$(s3 app.db)"
restores_to_state_of "$(s3 app.db region=us-west-2)" app.db
restores_to_state_of "$(s3 app.db region=eu-west-9)" app.db

cat >elsewhere.py <<'END'
import http.server
import os
import sys

status, code = int(sys.argv[1]), sys.argv[2]


class Elsewhere(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = f"<Error><Code>{code}</Code><Message>It is elsewhere.</Message></Error>".encode()
        self.send_response(status)
        self.send_header("x-amz-bucket-region", "eu-west-9")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
with open("elsewhere.new", "w") as file:
    file.write(str(server.server_port))
os.rename("elsewhere.new", "elsewhere.port")
server.serve_forever()
END
for answer in '301 PermanentRedirect' '400 AuthorizationHeaderMalformed'; do
  rm -f elsewhere.port
  python3 elsewhere.py $answer &
  pids+=($!)
  wait_until test -s elsewhere.port
  endpoint=http://127.0.0.1:$(cat elsewhere.port)
  advice="the bucket is not in the region eu-west-9 of $endpoint: check region and endpoint"
  expect 6 "$CAIRN" history "$(s3 app.db region=us-west-2)"
  says "$advice"
  expect 6 "$CAIRN" restore -o x.db "$(s3 app.db region=us-west-2)"
  says "$advice"
  expect 6 replicate app.db --once --timeout 1s --to "$(s3 other.db region=us-west-2)"
  says "$advice"
  [ ! -e x.db ]
done
no_secrets
