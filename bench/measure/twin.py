"""The S3 server of the tests, on loopback: nothing of the user's own keys and settings is used with it."""
import os
import ssl
import subprocess
import time
import urllib.request

KEY_ID, SECRET_KEY = "twin-access-key", "twin-secret-key"


def environment(home):
    """For a `cairn` that talks to the twin."""
    variables = {name: value for name, value in os.environ.items()
                 if not name.startswith("AWS_") and not name.lower().endswith("_proxy")}
    return variables | {"HOME": home, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                        "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


class Twin:
    """Running until left."""

    def __init__(self, program, folder, *options, tls=False):
        """With "--verbose" among the options the file at `log` gets a line a request."""
        os.makedirs(folder, exist_ok=True)
        port_file = os.path.join(folder, "port")
        self.log = os.path.join(folder, "requests")
        self.certificate = os.path.join(folder, "certificate.pem") if tls else None
        words = [program, "--port-file", port_file, *options]
        if tls:
            words += ["--tls", "good", "--certificate-file", self.certificate]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL,
                                            stderr=log if "--verbose" in options else None)
        until = time.monotonic() + 30
        while not (os.path.exists(port_file) and os.path.getsize(port_file) > 0):
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit("bench/run: the S3 server of the tests did not start")
            time.sleep(0.01)
        with open(port_file, encoding="ascii") as file:
            self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{int(file.read())}"
        handlers = [urllib.request.ProxyHandler({})]
        if tls:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.certificate)))
        self._opener = urllib.request.build_opener(*handlers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def url(self, prefix):
        return f"s3://bucket/{prefix}?endpoint={self.endpoint}"

    def control(self, method, what):
        """See tests/twin/control.h."""
        request = urllib.request.Request(f"{self.endpoint}/-twin/{what}", method=method)
        with self._opener.open(request) as answer:
            return answer.read().decode()

    def counts(self):
        """Requests by operation, all of them under "requests"."""
        lines = (line.split() for line in self.control("GET", "counts").splitlines())
        return {words[0]: int(words[1]) for words in lines}

    def reset_counts(self):
        self.control("POST", "counts/reset")
