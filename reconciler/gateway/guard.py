"""Who may call: programs of this machine, and no web page that was lured here.

A page of another site can make a browser send requests to loopback ports, and by rebinding its own name to
127.0.0.1 read the answers (CVE-2024-28224). Its requests show that name as Host, or its site as Origin.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\s]+)(:[0-9]{1,5})?")
_ORIGIN = re.compile(rf"https?://{_AUTHORITY.pattern}", re.IGNORECASE)
_REMEMBERED = 256


def host_refusal(hosts: Sequence[str]) -> str | None:
    """Why a request with these Host headers is refused; None when it is not.

    None at all is fine: HTTP/1.0 asks for none, and every browser sends one.
    """
    if len(hosts) > 1:
        return "it has several Host headers"
    if hosts and not _is_loopback(_AUTHORITY.fullmatch(hosts[0])):
        return f"Host {hosts[0]!r} is not this machine: ask localhost or 127.0.0.1"
    return None


def origin_refusal(origins: Sequence[str]) -> str | None:
    """Why a request with these Origin headers is refused; None when it is not."""
    for origin in origins:
        if not _is_loopback(_ORIGIN.fullmatch(origin)):
            return f"Origin {origin!r} is not this machine"
    return None


def _is_loopback(authority: re.Match[str] | None) -> bool:
    return authority is not None and _names_loopback(authority["host"].lower())


@lru_cache(_REMEMBERED)
def _names_loopback(host: str) -> bool:
    name = host.removesuffix(".")
    # RFC 6761: names below localhost resolve to loopback and nowhere else.
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
