"""The table of fields in docs/logs.md is what the services and the operator log."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTED = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE))
METHODS = {"debug", "info", "warning", "error", "exception", "bind"}
UNPACKED = {
    "services/auditor/reporting.py": {
        "checkout_id",
        "command",
        "event_id",
        "name",
        "order_id",
        "product_id",
        "user_id",
    },
    "services/chassis/failures.py": {"checkout_id", "step"},
    "services/chassis/partition.py": {"offset"},
    "services/chassis/run.py": {"grpc_port", "http_port"},
    "services/checkout/main.py": {"checkout_id", "step"},
    "services/gateway/access_log.py": {"one_in"},
}
"""What the calls that unpack a dictionary have in it, by module."""


def logged(path):
    """Give the fields that a module logs."""
    fields = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        owner, _, method = called.rpartition(".")
        is_log = method in METHODS and owner.rpartition(".")[2].strip("_").removesuffix("()") in {
            "log",
            "logger",
            "get_logger",
        }
        if is_log or called in {"report", "self._stopped"}:
            for keyword in node.keywords:
                fields |= {keyword.arg} if keyword.arg else UNPACKED[str(path.relative_to(ROOT))]
    return fields


def test_every_field_is_documented():
    """A field that is logged is in the table, and the table has no other: who searches the logs finds what it says."""
    modules = [*(ROOT / "services").rglob("*.py"), *(ROOT / "operator").rglob("*.py")]
    own = set().union(*map(logged, modules)) - {"exc_info"}
    program = """
from services.chassis import call
from services.chassis.logs import set_up
log = set_up("gateway", "serve", "info")
with call.within(call.incoming("r-1", "", seconds=None)):
    try:
        raise ValueError
    except ValueError:
        log.exception("failed")
"""
    line = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert own | set(json.loads(line)) == DOCUMENTED
