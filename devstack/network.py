"""Says why a program could not be fetched, from what the fetching program printed."""

import re

UNTRUSTED = re.compile(
    r"certificate verify failed[^'\"()\n]*|x509: certificate signed by[^'\"()\n]*|PKIX path building failed",
    re.IGNORECASE,
)
HOST = re.compile(r"host='([^']+)'|https://([^/\s\"']+)")
AUTHORITY = (
    "A proxy with a certificate authority of its own may stand between. Name the authority's PEM file in"
    " SSL_CERT_FILE, PIP_CERT and REQUESTS_CA_BUNDLE, and run it again."
)
MISMATCH = ("do not match the hashes", "checksum mismatch")
FULL = ("no space left on device",)
AWAY = (
    "temporary failure in name resolution",
    "name or service not known",
    "no such host",
    "connection refused",
    "network is unreachable",
    "no route to host",
    "timed out",
    "connection reset",
    "max retries exceeded",
    "no matching distribution found",
)
NOISE = ("Looking in ", "WARNING: Retrying", "Could not fetch URL")
LAST_LINES = 5


def reason(output: str) -> str:
    """Return why a fetch failed and what to do, with the last words of the program: never a traceback."""
    if untrusted := UNTRUSTED.search(output):
        host = HOST.search(output)
        name = next(filter(None, host.groups())) if host else "the server"
        return f"the certificate of {name} is not trusted ({untrusted[0].strip()}).\n{AUTHORITY}"
    last = "\n".join(_without_traceback(output)[-LAST_LINES:])
    low = output.lower()
    if any(sign in low for sign in FULL):
        return f"the disk is full.\n{last}"
    if any(sign in low for sign in MISMATCH):
        return f"what came is not the file that is pinned, so nothing of it is used.\n{last}"
    if any(sign in low for sign in AWAY):
        return f"is the network there, and are the package registries reachable?\n{last}"
    return last or "it did not say why"


def _without_traceback(output: str) -> list[str]:
    """Return the lines that a person needs: of a traceback only its last, which names the error."""
    kept, inside = [], False
    for line in output.strip().splitlines():
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and line.startswith(" "):
            continue
        elif line.strip() and not line.startswith(NOISE):
            inside = False
            kept.append(line.rstrip())
    return kept
