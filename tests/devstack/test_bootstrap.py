"""What a person sees where the virtual environment cannot be made."""

import subprocess

import pytest

from devstack import bootstrap
from devstack.home import ROOT, user_environment


def make(*words, **env):
    """Run make as a person does."""
    done = subprocess.run(
        ["make", "-s", *words, "status"],
        cwd=ROOT,
        env=user_environment() | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    return done.stdout + done.stderr


def test_a_folder_that_cannot_be_made(tmp_path):
    """The reason is the one that Python gives, and nothing is said of a package that is there."""
    (tmp_path / "file").touch()
    told = make(f"VENV={tmp_path}/file/venv")
    assert f"{tmp_path}/file/venv could not be made: Error: [Errno 20] Not a directory" in told
    assert "python3-venv" not in told


def test_a_python_that_is_not_there(tmp_path):
    """A missing Python is named, with the variable that names another."""
    told = make(f"VENV={tmp_path}/venv", "PYTHON=python9.9")
    assert "python9.9 is missing: install Python 3.11 or newer" in told


def test_a_python_without_its_venv_module(monkeypatch, tmp_path):
    """Only where the module is missing is the package named that holds it."""
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: name != "ensurepip" or None)
    with pytest.raises(bootstrap.CannotMake, match="install python3-venv"):
        bootstrap.make(tmp_path)


def test_how_far_the_packages_are():
    """A person sees how many of how many packages are fetched, and then that they are unpacked."""
    said = "Collecting aiohttp==3.14.5\n  Downloading aiohttp.whl (1.7 MB)\nCollecting rich==15.0.0\n"
    assert bootstrap._installed(said, 140) == "2 of 140 fetched"
    assert bootstrap._installed(f"{said}Installing collected packages: rich, aiohttp\n", 140) == "unpacking them"
