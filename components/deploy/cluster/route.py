"""What the gateway's routes send to the canary: nothing may go there any more when it is removed.

KServe removes a canary's Service before it changes the HTTPRoutes, and Envoy answers 500 (`cluster_not_found`) for the
canary's share until it has heard of the change. With a share of 0 nobody notices.
"""

from components.deploy.cluster.inference_service import service_name
from components.kubernetes.api import KubernetesApi
from components.kubernetes.kinds import Kind, Manifest

HTTP_ROUTES = Kind("gateway.networking.k8s.io", "v1", "httproutes")


def canary_gets_traffic(api: KubernetesApi, service: Manifest) -> bool:
    """Whether a route gives the canary a share, or the gateway has not taken over yet that it has none.

    Raises:
        KubernetesError: when the routes cannot be read; its status is 403 when the Role lacks the right.
    """
    meta = service["metadata"]
    names = (meta["name"], service_name(service))  # the InferenceService's own host, and the predictor's
    routes = [api.find(HTTP_ROUTES, meta["namespace"], name) for name in names]
    canary = service_name(service, canary=True)
    return any(_sends(route, canary) or not _taken_over(route) for route in routes if route is not None)


def _sends(route: Manifest, backend: str) -> bool:
    rules = route.get("spec", {}).get("rules") or []
    references = [reference for rule in rules for reference in rule.get("backendRefs") or []]
    return any(item["name"] == backend and item.get("weight", 1) > 0 for item in references)


def _taken_over(route: Manifest) -> bool:
    generation = route["metadata"].get("generation", 0)
    parents = route.get("status", {}).get("parents") or []
    seen = [item.get("observedGeneration", generation) for parent in parents for item in parent.get("conditions") or []]
    return all(observed >= generation for observed in seen)
