"""`make lint-api`: the linter is held to its hash, and what is missing is told."""

import json

import pytest

from devstack.lint_api import FOLDER, CannotLint, linter


def test_without_node(tmp_path):
    """A machine without npm is told what to install, and nothing is fetched."""
    with pytest.raises(CannotLint, match="npm is missing: install Node"):
        linter({"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_the_linter_is_pinned():
    """Every package of the lock file has a version and a hash, and no address: the user's own registry is asked."""
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    packages = [one for name, one in lock["packages"].items() if name]
    assert packages
    assert all(one["integrity"].startswith("sha512-") and "resolved" not in one for one in packages)
