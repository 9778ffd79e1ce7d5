"""The kinds of objects that ranklift reads and writes in a cluster, as the API's paths and a Role's rules name them."""

from typing import Any, NamedTuple

Manifest = dict[str, Any]  #: an object as the API gives it


class Kind(NamedTuple):
    """A kind of object, as the API's paths and a Role's rules name it."""

    group: str  #: "" for the core group
    version: str
    plural: str

    def path(self, namespace: str | None, name: str = "") -> str:
        """Return the path of an object, or of all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{place}/{self.plural}" + (f"/{name}" if name else "")

    def rule(self, verb: str) -> str:
        """Return the rule that a Role needs for a verb."""
        resource, group = self.plural, self.group
        return f"{{apiGroups: [{group or chr(34) * 2}], resources: [{resource}], verbs: [{verb}]}}"


INFERENCE_SERVICES = Kind("serving.kserve.io", "v1beta1", "inferenceservices")
PODS = Kind("", "v1", "pods")
POD_LOGS = Kind("", "v1", "pods/log")
SERVICES = Kind("", "v1", "services")
SERVICE_PROXY = Kind("", "v1", "services/proxy")
EVENTS = Kind("", "v1", "events")
SECRETS = Kind("", "v1", "secrets")
SERVICE_ACCOUNTS = Kind("", "v1", "serviceaccounts")
CONFIG_MAPS = Kind("", "v1", "configmaps")
NAMESPACES = Kind("", "v1", "namespaces")
NODES = Kind("", "v1", "nodes")
DEPLOYMENTS = Kind("apps", "v1", "deployments")
AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers")
NETWORK_POLICIES = Kind("networking.k8s.io", "v1", "networkpolicies")
POLICIES = Kind("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
POLICY_BINDINGS = Kind("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings")
ACCESS_REVIEWS = Kind("authorization.k8s.io", "v1", "subjectaccessreviews")
ENDPOINT_SLICES = Kind("discovery.k8s.io", "v1", "endpointslices")
WORKFLOWS = Kind("argoproj.io", "v1alpha1", "workflows")
TRAIN_JOBS = Kind("trainer.kubeflow.org", "v1alpha1", "trainjobs")
