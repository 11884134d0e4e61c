"""Grafana's dashboards of the platform, as code: `made` gives those that the chart carries and `make watch` shows."""

from devstack.dashboards import checkouts, money, resources, services, stores
from devstack.dashboards.board import Board, encoded

BOARDS: tuple[Board, ...] = (services.BOARD, checkouts.BOARD, money.BOARD, resources.BOARD, stores.BOARD)


def made() -> dict[str, str]:
    """Return the JSON of each dashboard by the name of its file."""
    return {f"{board.name}.json": encoded(board) for board in BOARDS}
