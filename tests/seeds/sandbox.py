"""A copy of the project in which bugs are planted, one at a time, and the tests that are run in it."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from devstack.home import ROOT
from tests.seeds import forked
from tests.seeds.seed import Seed
from tests.seeds.verdict import TIMED_OUT, WRITTEN_TO, Ended, read

MOST_SECONDS = 300.0
_PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "tests.seeds.verdict")
"""Those that the tests need. To load all that are installed takes longer than most of the tests."""


def project_files() -> list[str]:
    """Return the paths of the project's files, those that are not committed too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted({name for name in listed.split("\0") if name and (ROOT / name).is_file()})


class Sandbox:
    """The copy."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """Copy the project into `folder`; `env` is what the tests get."""
        self.folder = folder
        self._env = env
        forked.preload()
        for name in project_files():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)

    @contextmanager
    def planted(self, seed: Seed) -> Iterator[None]:
        """Plant a bug, and restore the file afterwards. Raises SeedError for a seed that does not apply."""
        path = self.folder / seed.file
        text, times = path.read_text(), path.stat()
        path.write_text(seed.planted(text))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 10**10))  # its compiled form is another one's
        try:
            yield
        finally:
            path.write_text(text)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def run(
        self, tests: Sequence[str], *, most_seconds: float = MOST_SECONDS, compiled: bool = False
    ) -> tuple[list[Ended], str]:
        """Run tests, and return how they ended and what pytest printed. `compiled` keeps the compiled form of the modules."""
        written, output = self.folder.parent / "verdict", self.folder.parent / "output"
        written.unlink(missing_ok=True)
        env = dict(self._env) | {WRITTEN_TO: str(written), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        if not compiled:
            env["PYTHONDONTWRITEBYTECODE"] = "1"
        plugins = [word for name in (*_PLUGINS, "no:cacheprovider") for word in ("-p", name)]
        code = forked.run(self.folder, ["-q", *plugins, "--tb=short", *tests], env, output, most_seconds)
        said = output.read_text(errors="replace")
        if code is None:
            return [Ended(tests[0], "run", (TIMED_OUT,), f"not within {most_seconds:g} s")], said
        ended = read(written)
        if not ended and code:
            lines = [line.strip() for line in said.splitlines() if line.startswith(("E ", "ERROR"))]
            ended = [Ended(tests[0], "collection", ("CollectionError",), lines[0] if lines else said[-200:])]
        return ended, said
