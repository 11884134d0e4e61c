"""The operator's program in a process that is forked from one that has imported it.

To start Python and to import is most of what a start costs, and the tests start dozens.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from kubernetes.aio.config import kube_config

from checkout_operator.main import main


class Program:
    """What `python -m checkout_operator.main` is, with these variables as its environment, and its output in a file."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload([__name__])
        self._process = forks.Process(target=_run, args=(dict(env), str(log)))
        self._process.start()

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process.exitcode is None

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._process.terminate()

    def wait(self, seconds: float) -> int:
        """Wait until it has ended, and return its exit code, negative for a signal."""
        self._process.join(seconds)
        code = self._process.exitcode
        assert code is not None, f"it still runs after {seconds:g} s"
        self._process.close()
        return code


def _run(env: dict[str, str], log: str) -> None:
    os.environ.clear()  # noqa: TID251 - this is another process
    os.environ.update(env)  # noqa: TID251
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = env.get("KUBECONFIG", "~/.kube/config")  # it was read at the import
    sys.argv = ["checkout_operator.main"]
    main()
