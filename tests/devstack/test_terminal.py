"""What a person at the terminal sees where something is wrong: one message, with what to do, and no traceback."""

import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from devstack.ports import check
from devstack.table import PARTS


@pytest.mark.parametrize("verb", ["status", "env", "bank decline", "stop redis", "start redis", "restart redis"])
def test_nothing_runs(refused, home, verb):
    """Each verb that needs the folder's own stack says that none runs, by its folder, and how to start it."""
    assert f"the platform of {home.path} is not running; start it with: make up" in refused(*verb.split())


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_a_part_is_missing(refused, verb):
    """A verb without its part is answered with how it is written, and with the parts."""
    assert f"which part? make {verb} PART=gateway; the parts are: postgres, redis" in refused(verb)


def test_an_unknown_part(refused):
    """A part that does not exist is answered with those that do."""
    assert "there is no part 'gatway'; the parts are: postgres" in refused("logs", "gatway")


def test_a_folder_that_cannot_be_written(terminal, tmp_path):
    """An unwritable folder is told with the reason and the variable that names another, without a traceback."""
    (tmp_path / "file").touch()
    done = terminal("up", DEVSTACK_HOME=str(tmp_path / "file" / "home"))
    said = done.stderr
    assert (done.returncode, len(said.splitlines())) == (1, 1)
    assert "Not a directory; make that folder writable, or choose another: DEVSTACK_HOME=" in said


def test_a_wrong_setting(refused):
    """A wrong setting is told in its own words before anything is fetched or started."""
    said = refused("up", BANK_SUCCESS_RATE="2", DEVSTACK_IGNORE_PATH="1", XDG_CACHE_HOME="/dev/null")
    assert said.splitlines()[-1].strip() == "BANK_SUCCESS_RATE: Input should be less than or equal to 1 (got '2')"


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"GATEWAY_PORT": "eighty"}, "GATEWAY_PORT=eighty: must be a port number from 1 to 65535"),
        ({"GATEWAY_PORT": "70", "REDIS_PORT": "70"}, "REDIS_PORT and GATEWAY_PORT are both 70"),
        ({"DEVSTACK_PORTS": "fre"}, "DEVSTACK_PORTS=fre: the only choice is DEVSTACK_PORTS=free"),
        ({"POSTGRES_URL": "postgresql://127.0.0.1:1/x"}, "POSTGRES_URL is set, but nothing answers at 127.0.0.1:1"),
        ({"REDIS_URL": "redis://h:port"}, "REDIS_URL is set, but is no URL"),
    ],
)
def test_a_setting_of_ours(refused, home, env, told):
    """A port that is none, or is used twice, and a store that is away, are told before anything starts."""
    assert told in refused("up", **env)
    assert not home.state.exists()


def test_markup_in_a_message(refused):
    """What looks like markup is shown as it stands, and breaks nothing."""
    assert "DEVSTACK_PORTS=[/red]" in refused("up", DEVSTACK_PORTS="[/red]")


def test_taken_ports_are_short():
    """Many taken ports are a few lines: some of each holder, the holder, and the one word that helps."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(6)]
    names = [variable for one in PARTS.values() for variable, _ in one.ports]
    ports = dict.fromkeys(names, 0) | {
        variable: one.getsockname()[1] for variable, one in zip(names, taken, strict=False)
    }
    with pytest.raises(Exception, match="6 ports are taken:") as error:
        check(PARTS.values(), ports)
    for one in taken:
        one.close()
    said = str(error.value)
    assert len(said.splitlines()) == 4
    assert f"{ports['POSTGRES_PORT']} (postgres), " in said
    assert " and 3 more: " in said
    assert f"(pid {os.getpid()})" in said
    assert "DEVSTACK_PORTS=free make up" in said


@pytest.mark.real
def test_two_folders_side_by_side(home, terminal, tmp_path):
    """Each verb reaches its own folder's stack; another's is named where it holds a port, and its URLs are not used."""
    stack = Stack.up(home.path, only={"redis"})
    other = Home(tmp_path / "other")
    shell = stack.env()

    def there(*words: str, **env: str):
        done = terminal(*words, **{"DEVSTACK_HOME": str(other.path)} | env)
        assert done.returncode == 1
        return done.stdout + done.stderr

    assert f"the platform of {other.path} is not running" in there("bank", "decline", **shell)
    said = there("up", REDIS_PORT=str(stack.row("redis")["ports"][0]), **shell)
    assert f"come from make env of {home.path}, and are not used here" in said
    assert f"(redis): the platform of {home.path} (make down there ends it)" in said
    sockets = shutil.ignore_patterns("*.sock")
    shutil.copytree(home.path, other.path, ignore=sockets, dirs_exist_ok=True)
    assert terminal("down", DEVSTACK_HOME=str(other.path)).stdout == "it was not running\n"  # a copy has no processes
    assert stack.row("redis")["state"] == "ready"
    stack.down()


@pytest.mark.real
def test_up_on_a_running_stack(home, terminal):
    """`make up` on a running stack says which settings it does not have, and starts what was stopped."""
    stack = Stack.up(home.path, only={"redis"}, env={"DEVSTACK_PORTS": "free"})
    stack.stop("redis")
    said = terminal("up", BANK_SUCCESS_RATE="1").stdout
    assert "It is running already; started again: redis." in said
    assert "It runs with other settings than those of this shell: BANK_SUCCESS_RATE." in said
    assert "make down && make up" in said
    assert "other settings" not in terminal("up").stdout
    stack.down()


@pytest.mark.real
def test_clean_beside_running_tests(home, refused):
    """`make clean` deletes nothing of a test run that is under way in the same folder."""
    stack = Stack.up(home.path / "tests", only={"redis"})
    assert f"tests are running in {home.path}/tests" in refused("clean")
    assert stack.row("redis")["state"] == "ready"
    stack.down()


@pytest.mark.real
def test_logs(home, terminal):
    """Without a part the logs are those of our own processes; a store's is shown by its name, and an old one is called so."""
    logs = home.path / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for name in ("apiserver", "gateway"):
        (logs / f"{name}.log").write_text(f"of the {name}\n")
    every, one = terminal("logs", "--no-follow"), terminal("logs", "--no-follow", "apiserver")
    assert ("of the gateway" in every.stdout, "of the apiserver" in every.stdout) == (True, False)
    assert one.stdout == "of the apiserver\n"
    assert "It is not running. These are the logs of its last run." in every.stderr


@pytest.mark.real
def test_a_process_that_refuses_its_settings(home):
    """What only a process itself can check is told in its words at once, instead of starting it again and again."""
    stack = Stack(home)
    env = user_environment() | {"AUTH_MODE": "jwt"}
    stack.launch(env, only={"gateway"}, free=True, while_pid=os.getpid())
    with pytest.raises(Exception, match="gateway refuses its settings:\ngateway: AUTH_ISSUER: is not set"):
        stack.wait_ready(timeout=60)
    assert stack.row("gateway")["restarts"] == 0
    stack.down()
    assert json.loads(home.plan.read_text())["parts"] == ["gateway"]


def test_the_bank_is_named_by_its_address():
    """The bank's command reaches no bank that nobody named."""
    env = {name: value for name, value in user_environment().items() if name != "BANK_ADDR"}
    command = [sys.executable, "-m", "services.bank.admin", "decline"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "BANK_ADDR is not set" in done.stderr) == (2, True)
