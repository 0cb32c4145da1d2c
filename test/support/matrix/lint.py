# Lints every file that is named on standard input (one per line: kind, tab, path) with pkilint's own programs, all in one process, and prints
# one line of JSON per file: its path and the findings. Run by test/integration/pki/matrix.test.ts.
import contextlib
import io
import json
import sys

from pkilint.bin import lint_crl, lint_pkix_cert

RUNS = {
    "certificate": lambda path: lint_pkix_cert.main(["lint", "-f", "JSON", "-s", "NOTICE", path]),
    "crl": lambda path: lint_crl.main(["lint", "-t", "CRL", "-p", "PKIX", "-f", "JSON", "-s", "NOTICE", path]),
}

for line in sys.stdin:
    kind, path = line.rstrip("\n").split("\t")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        RUNS[kind](path)
    print(json.dumps({"path": path, "said": said.getvalue()}), flush=True)
