"""What all dashboards share: how a panel looks, which installation it shows, and how it becomes JSON.

A board is plain data. Grafana's Foundation SDK makes the JSON of it, so that a newer Grafana's format is a newer SDK.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
HERE = 'namespace=~"$namespace"'
"""The matcher of the installation that is chosen; it fits series without a namespace too, where all are chosen."""
WIDTH = 24  # of a dashboard, in Grafana's units
GRAPH_HEIGHT, NUMBER_HEIGHT = 8, 4


@dataclass(frozen=True, slots=True)
class Graph:
    """Lines over time. `queries` are (PromQL, legend)."""

    title: str
    says: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    """One number, red from `bad` on; None where no value of it is bad."""

    title: str
    says: str
    unit: str
    query: str
    bad: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of panels, each as wide as the others of its kind."""

    title: str
    panels: tuple[Graph | Number, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. `by_part` lets the reader choose parts."""

    name: str
    title: str
    says: str
    rows: tuple[Row, ...]
    by_part: bool = False


def encoded(board: Board) -> str:
    """Return a dashboard's JSON, in the same order each time."""
    return JSONEncoder(sort_keys=True, indent=1).encode(_built(board).build()) + "\n"


def quantile(share: float, histogram: str, by: str, matchers: str = HERE) -> str:
    """Return the PromQL of a quantile of a classic histogram, by these labels."""
    rate = f"rate({histogram}_bucket{{{matchers}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le, {by}) ({rate}))"


def per_second(counter: str, by: str, matchers: str = HERE) -> str:
    """Return the PromQL of a counter's rate, summed by these labels."""
    return f"sum by ({by}) (rate({counter}{{{matchers}}}[$__rate_interval]))"


def share(part: str, whole: str) -> str:
    """Return the PromQL of a share."""
    return f"{part} / {whole}"


def _built(board: Board) -> dashboard.Dashboard:
    built = (
        dashboard.Dashboard(f"Cartwright / {board.title}")
        .uid(f"cartwright-{board.name}")
        .description(board.says)
        .tags(["cartwright"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Cartwright")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["cartwright"])
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_chosen("namespace", "Namespace", 'label_values(up{part!=""}, namespace)'))
    )
    if board.by_part:
        built.with_variable(_chosen("part", "Part", f'label_values(up{{part!="",{HERE}}}, part)'))
    for row in board.rows:
        built.with_row(dashboard.Row(row.title))
        for panel, width in zip(row.panels, _widths(row.panels), strict=True):
            built.with_panel(_graph(panel, width) if isinstance(panel, Graph) else _number(panel, width))
    return built


def _chosen(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _widths(panels: Sequence[Graph | Number]) -> list[int]:
    """Return how wide each panel is: the numbers of a row share one line, its graphs have two or three in each."""
    graphs = sum(isinstance(panel, Graph) for panel in panels)
    numbers = len(panels) - graphs
    graph = WIDTH // (2 if graphs % 3 else 3)
    return [graph if isinstance(panel, Graph) else WIDTH // max(numbers, 4) for panel in panels]


def _graph(panel: Graph, width: int) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(width)
        .height(GRAPH_HEIGHT)
        .draw_style(GraphDrawStyle.LINE)
        .fill_opacity(30 if panel.stacked else 8)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if panel.stacked:
        built.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for letter, (query, legend) in zip(ascii_uppercase, panel.queries, strict=False):
        built.with_target(prometheus.Dataquery().ref_id(letter).expr(query).legend_format(legend))
    return built


def _number(panel: Number, width: int) -> stat.Panel:
    steps = [Threshold(value=None, color="green" if panel.bad is not None else "text")]
    if panel.bad is not None:
        steps.append(Threshold(value=panel.bad, color="red"))
    return (
        stat.Panel()
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(width)
        .height(NUMBER_HEIGHT)
        .no_value("none")
        .graph_mode(BigValueGraphMode.AREA)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(prometheus.Dataquery().ref_id("A").expr(panel.query))
    )
