#!/usr/bin/env bash
# addressing=virtual_host: the bucket is in the host's name, and everything works as it does with paths.
. "$(dirname "$0")/common.sh"

start_twin
endpoint=${endpoint/127.0.0.1/localhost}
# A proxy sees which host is asked, and takes what it is given to the twin: no name has to be known here.
python3 - "$endpoint" "$dir/hosts" "$dir/proxy.port" <<'END' &
import http.client, http.server, sys, urllib.parse

twin = urllib.parse.urlsplit(sys.argv[1])

class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        with open(sys.argv[2], "a") as hosts:
            hosts.write(urllib.parse.urlsplit(self.path).netloc + " " + self.headers["Host"] + "\n")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = http.client.HTTPConnection("127.0.0.1", twin.port)
        server.putrequest(self.command, "/" + self.path.split("/", 3)[3], skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("proxy-connection", "connection"):
                server.putheader(name, value)
        server.endheaders(body)
        reply = server.getresponse()
        content = reply.read()
        self.send_response_only(reply.status, reply.reason)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
with open(sys.argv[3] + ".new", "w") as port:
    port.write(str(server.server_port))
import os
os.rename(sys.argv[3] + ".new", sys.argv[3])
server.serve_forever()
END
pids+=($!)
wait_until test -s proxy.port
make_db app.db
replica=$(s3 app.db addressing=virtual_host)
http_proxy=http://127.0.0.1:$(cat proxy.port)
export http_proxy
once app.db --to "$replica"
add_rows app.db 3
once app.db --to "$replica"
restores_to_state_of "$replica" app.db
port=${endpoint##*:}
[ "$(sort -u hosts)" = "bucket.localhost:$port bucket.localhost:$port" ] || fail "asked were: $(sort -u hosts)"
unset http_proxy
restores_to_state_of "$(s3 app.db)" app.db  # by paths it is the same bucket
