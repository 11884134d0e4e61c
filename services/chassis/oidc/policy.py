"""The settings that say which tokens count. They are checked at the start, so that a process with weak ones never serves."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.chassis.env import BadSettings, Settings

# Which algorithms a key can verify, by its type and curve. All are asymmetric: with an HS* algorithm the public key of
# the issuer would be the secret, and anybody could sign.
ALGORITHMS_OF: dict[str, frozenset[str]] = {
    "RSA": frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "P-521": frozenset({"ES512"}),
    "Ed25519": frozenset({"EdDSA"}),
}
ASYMMETRIC = frozenset[str]().union(*ALGORITHMS_OF.values())


class OidcSettings(Settings):
    """What every process needs that checks tokens."""

    auth_issuer: str = ""
    """The URL of the OpenID Connect issuer, exactly as in its tokens' `iss`; https but for APP_ENV=dev."""
    auth_audience: str = ""
    """The audience that a token must be for: its `aud`, or one of them."""
    auth_algorithms: str = "RS256,ES256"
    """The signature algorithms that count, all of them asymmetric."""
    auth_jwks_url: str = ""
    """Where the issuer's keys are; found by its discovery document where it is empty."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a token must hold to be accepted, and where its keys are."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    jwks_url: str | None = None
    """None if the issuer's discovery document names it."""
    plain_http: bool = False
    """Whether keys may come by http. Only on a laptop: whoever can change the keys on their way can be any user."""


def policy_of(config: OidcSettings, others: Iterable[str] = ()) -> Policy:
    """Return the policy of the settings. Raises BadSettings that names every variable that is missing or wrong.

    `others`: what is wrong with the settings of its caller, which are named with them.
    """
    plain_http = config.app_env == "dev"
    algorithms = frozenset(name.strip() for name in config.auth_algorithms.split(","))
    complaints = [*_addresses(config, plain_http=plain_http), *_algorithms(algorithms)]
    if not config.auth_audience:
        complaints.append("AUTH_AUDIENCE: is not set; say which audience (aud) a token must be for")
    complaints += others
    if complaints:
        raise BadSettings("\n".join(complaints))
    return Policy(
        issuer=config.auth_issuer,
        audience=config.auth_audience,
        algorithms=algorithms,
        jwks_url=config.auth_jwks_url or None,
        plain_http=plain_http,
    )


def url_problem(url: str, *, plain_http: bool) -> str | None:
    """Return what is wrong with a URL that keys come from, or None if it is right."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is none raises
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"} or "@" in parts.netloc or "#" in url or not url.isprintable():
        return "must be a URL such as https://id.example.com"
    if parts.scheme == "http" and not plain_http:
        return "must be https, since whoever can change the keys on their way can be any user; http needs APP_ENV=dev"
    return None


def _addresses(config: OidcSettings, *, plain_http: bool) -> Iterator[str]:
    if not config.auth_issuer:
        yield (
            "AUTH_ISSUER: is not set; say which issuer's tokens count, such as https://id.example.com"
            " (on a laptop set AUTH_MODE=mock and APP_ENV=dev)"
        )
    for variable, url in (("AUTH_ISSUER", config.auth_issuer), ("AUTH_JWKS_URL", config.auth_jwks_url)):
        problem = url_problem(url, plain_http=plain_http) if url else None
        if problem:
            yield f"{variable}: {problem} (got {url!r})"
    if "?" in config.auth_issuer:
        yield "AUTH_ISSUER: must have no query (?)"


def _algorithms(names: frozenset[str]) -> Iterator[str]:
    choices = ", ".join(sorted(ASYMMETRIC))
    for name in sorted(names - ASYMMETRIC):
        if name.lower() == "none":
            yield f"AUTH_ALGORITHMS: {name} would accept tokens that nobody signed; choose of {choices}"
        elif name.upper().startswith("HS"):
            yield f"AUTH_ALGORITHMS: {name} would make the issuer's public key the secret; choose of {choices}"
        else:
            yield f"AUTH_ALGORITHMS: must be one or more of {choices} (got {name!r})"
