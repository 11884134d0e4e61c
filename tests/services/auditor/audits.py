"""The auditor of a running platform, as tests see it."""

import json

WITHIN = 60  # seconds: the promise


class Audit:
    """The auditor of a platform, by what it says."""

    def __init__(self, platform):
        self._platform = platform
        self._log = platform.stack.home.log("auditor")
        self._from = self._log.stat().st_size

    def lines(self, event, **facts):
        """Give the lines of an event since the start of the test that have these facts."""
        with self._log.open("rb") as log:
            log.seek(self._from)
            found = [json.loads(line) for line in log.read().splitlines() if line.startswith(b"{")]
        return [
            one
            for one in found
            if one["event"] == event and all(one.get(name) == value for name, value in facts.items())
        ]

    def differs(self, kind, **facts):
        """Give the differences of a kind that count."""
        return self.lines("the books differ", kind=kind, **facts)

    def metric(self, name):
        """Give the sum of a metric."""
        return self._platform.metric("auditor", name)


def restart(platform, env):
    """Start the auditor again with settings of its own."""
    platform.stack.stop("auditor")
    platform.stack.start("auditor", env)
    platform.stack.wait_ready("auditor", timeout=60)
