"""What a statement does, in a few words: the name of its span. Statements are constants, so each is summed up once."""

import re
from functools import lru_cache

_COMMON = re.compile(r"(?:\bWITH|\),)\s+(\w+)\s+AS\s*\(")
"""The names of common table expressions, which are no tables."""
_WRITTEN = re.compile(r"\b(INSERT INTO|DELETE FROM|(?<!FOR )(?<!DO )UPDATE)\s+([a-z_]\w*)")
_READ = re.compile(r"\b(?:FROM|JOIN)\s+([a-z_]\w*)")


@lru_cache(maxsize=512)
def summary(sql: str) -> str:
    """Return what a statement writes, or else what it reads first, such as `UPDATE payments`: OpenTelemetry's query summary."""
    names = set(_COMMON.findall(sql))
    written = dict.fromkeys(f"{verb.split()[0]} {table}" for verb, table in _WRITTEN.findall(sql))
    if written:
        return ", ".join(written)
    read = next((table for table in _READ.findall(sql) if table not in names and table != "unnest"), "")
    return f"SELECT {read}".strip()
