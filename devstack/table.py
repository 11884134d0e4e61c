"""The parts of the platform: the name, module, ports and dependencies of each."""

from dataclasses import dataclass


class UnknownPart(KeyError):
    """There is no part of this name."""

    def __str__(self) -> str:
        return f"there is no part {self.args[0]!r}; the parts are: {', '.join(PARTS)}"


@dataclass(frozen=True, slots=True)
class Part:
    """A process. `ports` are (variable, default); `needs` are parts that must be ready before its migration runs."""

    name: str
    ports: tuple[tuple[str, int], ...]
    module: str | None = None
    """What runs it; None for a store."""
    role: str | None = None
    needs: tuple[str, ...] = ()
    migrates: bool = False
    after: str | None = None
    """The part whose migration must have run before this one starts."""
    folder: str = "."
    """Where the module's package stands, below the root."""
    uses_cluster: bool = False
    """Whether it uses the API server, and so gets a kubeconfig."""
    urls: tuple[str, ...] = ()
    """The variables that name stores of the user's own."""

    @property
    def is_store(self) -> bool:
        """Return whether it is a store, not a process of ours."""
        return self.module is None


def _service(name: str, grpc: int, http: int, *needs: str) -> Part:
    upper = name.upper()
    ports = ((f"{upper}_GRPC_PORT", grpc), (f"{upper}_HTTP_PORT", http))
    return Part(name, ports, f"services.{name}.main", "serve", needs, migrates=True, after=name)


def _worker(service: str, role: str, http: int) -> Part:
    ports = ((f"{service.upper()}_{role.upper()}_HTTP_PORT", http),)
    return Part(f"{service}-{role}", ports, f"services.{service}.main", role, after=service)


_ALL = (
    Part("postgres", (("POSTGRES_PORT", 5432),), urls=("POSTGRES_URL", "BANK_POSTGRES_URL")),
    Part("redis", (("REDIS_PORT", 6379),), urls=("REDIS_URL",)),
    Part("mongodb", (("MONGODB_PORT", 27017),), urls=("MONGODB_URL",)),
    Part("etcd", (("ETCD_PORT", 2379), ("ETCD_PEER_PORT", 2380)), urls=("KUBECONFIG",)),
    Part("apiserver", (("APISERVER_PORT", 6443),), needs=("etcd",), urls=("KUBECONFIG",)),
    Part("kafka", (("KAFKA_PORT", 9092), ("KAFKA_CONTROLLER_PORT", 9093)), urls=("KAFKA_BOOTSTRAP_SERVERS",)),
    _service("product", 50051, 9051, "postgres"),
    _service("inventory", 50053, 9053, "postgres"),
    _service("bank", 50058, 9058, "postgres"),
    _service("payment", 50054, 9054, "postgres"),
    _service("orders", 50055, 9055, "postgres"),
    _service("cart", 50052, 9052, "mongodb"),
    _service("checkout", 50056, 9056, "postgres", "kafka"),
    Part("gateway", (("GATEWAY_PORT", 8080),), "services.gateway.main", "serve"),
    Part("console", (("CONSOLE_PORT", 8090),), "services.console.main", "serve"),
    _worker("inventory", "sweeper", 9153),
    _worker("payment", "resolver", 9154),
    _worker("checkout", "relay", 9156),
    _worker("checkout", "recovery", 9157),
    _worker("cart", "consumer", 9152),
    _worker("orders", "consumer", 9155),
    Part(
        "auditor",
        (("AUDITOR_HTTP_PORT", 9059),),
        "services.auditor.main",
        "serve",
        ("apiserver",),
        after="checkout",
        uses_cluster=True,
    ),
    Part(
        "operator",
        (("OPERATOR_HTTP_PORT", 9060),),
        "checkout_operator.main",
        needs=("apiserver",),
        folder="operator",
        uses_cluster=True,
    ),
)
PARTS: dict[str, Part] = {part.name: part for part in _ALL}
STORES = tuple(part.name for part in _ALL if part.is_store)


def part(name: str) -> Part:
    """Return the part of this name; UnknownPart says which there are."""
    try:
        return PARTS[name]
    except KeyError as error:
        raise UnknownPart(name) from error
