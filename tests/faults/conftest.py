import multiprocessing

import pytest

from components.object_store.client import ObjectStore
from components.registry.registry import Registry
from tests.faults.proxy import Proxy


@pytest.fixture(scope="session")
def processes():
    """Starts processes that have everything imported already, from a clean one of a single thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.victims"])
    return context


@pytest.fixture
def proxy(object_store):
    with Proxy(object_store.endpoint) as proxy:
        yield proxy


@pytest.fixture
def through_proxy(registry, proxy):
    """The registry of this test, reached through the proxy with little patience."""
    settings = registry.store.settings.model_copy(update={"endpoint": proxy.endpoint, "timeout": 1.0, "attempts": 4})
    return Registry(ObjectStore(settings))
