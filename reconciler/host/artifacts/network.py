"""What the network may be used for on this machine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.host.artifacts.addresses import AddressPolicy
from reconciler.host.artifacts.hub import Hub, hub_from_environment
from reconciler.host.artifacts.limits import DEFAULT_LIMITS, Limits
from reconciler.host.artifacts.web import Client


@dataclass(frozen=True, slots=True)
class Network:
    """The hub, the addresses that may be reached, and how long anything may take."""

    hub: Hub
    policy: AddressPolicy
    limits: Limits = DEFAULT_LIMITS
    offline: bool = False
    """Nothing may be asked for over the network."""

    def new_client(self) -> Client:
        return Client(self.policy, self.limits)


def network_from(
    environment: Mapping[str, str],
    *,
    allow_private: Iterable[str] = (),
    offline: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Network:
    """The network as the environment and the spec's `settings.sources` describe it.

    The host that HF_ENDPOINT names may be private and speak plain HTTP, as those in `allow_private` may.
    """
    hub = hub_from_environment(environment)
    own = (hub.host,) if environment.get("HF_ENDPOINT") else ()
    return Network(
        hub=hub,
        policy=AddressPolicy(frozenset((*allow_private, *own))),
        limits=limits,
        offline=offline or hub.offline,
    )
