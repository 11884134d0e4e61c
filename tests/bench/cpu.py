"""How much processor time and memory each part uses: its process, what it started, and what of that has ended."""

from collections.abc import Mapping

import psutil

MIB = 1 << 20


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Give the processor time of each part so far, user and system, in seconds; a part that is away is left out."""
    found = {}
    for name, pid in pids.items():
        try:
            root = psutil.Process(pid)
            below = root.children(recursive=True)
            found[name] = _own(root) + sum(_own(one) for one in below if one.is_running())
        except psutil.NoSuchProcess:
            continue
    return found


def _own(process: psutil.Process) -> float:
    """Give a process's time, and that of its children which have ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


def memory_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """Give the memory of each part in MiB; what several of its processes share is counted once, where the system tells."""
    found = {}
    for name, pid in pids.items():
        try:
            root = psutil.Process(pid)
            found[name] = sum(_memory(one) for one in [root, *root.children(recursive=True)]) / MIB
        except psutil.NoSuchProcess:
            continue
    return found


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
    return getattr(full, "pss", 0) or full.uss


def used(
    before: Mapping[str, float], after: Mapping[str, float], idle: Mapping[str, float], seconds: float
) -> dict[str, float]:
    """Give what each part has used between two readings, less what it uses a second while nobody asks; never below zero."""
    return {name: max(0.0, after[name] - before.get(name, 0.0) - idle.get(name, 0.0) * seconds) for name in after}
