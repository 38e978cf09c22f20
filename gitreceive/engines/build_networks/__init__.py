"""What builds reach: networks of their own, each with rules that a build cannot change."""

from gitreceive.engines.build_networks.networks import GuardedNetworks
from gitreceive.engines.build_networks.places import Place, of_url

__all__ = ["GuardedNetworks", "Place", "of_url"]
