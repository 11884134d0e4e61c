"""`python -m devstack.charts`: makes what is made of each chart's values.yaml, the copy of the resource's definition, and dashboards."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from devstack import dashboards
from devstack.charts import table
from devstack.charts.schema import schema
from devstack.charts.values import Undescribed, read
from devstack.home import ROOT

CHARTS = ROOT / "charts"
CRD = ROOT / "crds" / "checkouts.yaml"


def made() -> Iterator[tuple[Path, str]]:
    """Give every file that is made, and what is in it; Undescribed or NoPlace where a chart lacks a part of it."""
    for chart in ("cartwright", "cartwright-stores"):
        folder = CHARTS / chart
        values = read((folder / "values.yaml").read_text())
        yield folder / "values.schema.json", json.dumps(schema(chart, values), indent=2, ensure_ascii=False) + "\n"
        yield folder / "README.md", table.put((folder / "README.md").read_text(), values)
    files = CHARTS / "cartwright" / "files"
    yield files / CRD.name, CRD.read_text()
    for name, text in dashboards.made().items():
        yield files / "dashboards" / name, text


def main() -> None:
    """Write what differs, and say so."""
    try:
        files = list(made())
    except (Undescribed, table.NoPlace) as error:
        sys.exit(f"error: {error}")
    for path, text in files:
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"made {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
