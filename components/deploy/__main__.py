"""``python -m components.deploy``: put the champion into service on this machine, as `make docker-up` does."""

import sys

from components.deploy.machine.deploy import deploy_local
from components.machine.settings import home_directory
from components.registry.registry import open_registry
from components.stage import reported

NOTHING_PROMOTED = 3

if __name__ == "__main__":
    with reported():
        registry = open_registry()
        champion = registry.champion()
        if champion is None:
            print(f"Nothing has been promoted yet in {registry.place}.")
            sys.exit(NOTHING_PROMOTED)
        print(f"{deploy_local(champion.version, registry, home_directory())} is in service.")
