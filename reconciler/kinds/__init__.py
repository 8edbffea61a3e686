"""One room per kind of resource, unaware of each other."""
