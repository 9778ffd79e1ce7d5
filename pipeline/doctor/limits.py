"""What bounds the parts: the pipeline's rights, admission policies, Pod Security, NetworkPolicies, leftovers."""

from components.deploy.cluster.inference_service import canary_of, service_name
from components.deploy.cluster.route import HTTP_ROUTES
from components.kubernetes.fields import field, name_of, names, text
from components.kubernetes.kinds import (
    AUTOSCALERS,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    POLICIES,
    POLICY_BINDINGS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Kind,
)
from pipeline.doctor.cluster import Cluster
from pipeline.doctor.result import Check, Result, ok, skipped, wrong

_APPLY = "`kubectl apply -k` the overlay of manifests/ again"
_ENFORCE = "pod-security.kubernetes.io/enforce"
_DEPLOYER = "ranklift-deploy"  # the account of the stage deploy, as manifests/ has it
_RUNNER = "ranklift-pipeline"
#: What deploy does with the InferenceService; without any of it every deploy fails.
_NEEDED = ("get", "patch", "watch")
#: What KServe makes for a canary, under one name.
_OF_A_CANARY = {
    AUTOSCALERS: "HorizontalPodAutoscaler",
    DEPLOYMENTS: "Deployment",
    SERVICES: "Service",
    HTTP_ROUTES: "HTTPRoute",
}
_ADMISSION = ("ranklift-deploy-limits", "ranklift-run-account")


def check_rights(cluster: Cluster) -> Result:
    """Whether the stage deploy may change the InferenceService, and may not read Secrets beside it."""
    place = cluster.place
    account = _deployer(cluster)
    who = f"ServiceAccount {account} of namespace {place.runs}"

    def may(verb: str, kind: Kind, name: str) -> bool:
        return cluster.api.is_allowed((place.runs, account), verb, kind, place.serving, name)

    missing = [verb for verb in _NEEDED if not may(verb, INFERENCE_SERVICES, place.name)]
    if missing:
        rule = INFERENCE_SERVICES.rule(", ".join(missing))
        return wrong(f"{who} lacks the rule {rule} in namespace {place.serving}: every deploy fails", _APPLY)
    secrets = Kind("", "v1", "secrets")
    if may("get", secrets, "any"):
        return wrong(
            f"{who} may read every Secret in namespace {place.serving}",
            f"remove that rule from the Roles in {place.serving}; deploy needs {INFERENCE_SERVICES.rule('get, patch')}",
        )
    blind = [kind.plural for kind in (PODS,) if not may("list", kind, "")]
    more = f"; without list on {', '.join(blind)} a failed deploy cannot say why" if blind else ""
    return ok(f"{who} may change the InferenceService, and read no Secret beside it{more}")


def check_token(cluster: Cluster) -> Result:
    """Whether the Secrets are there that give deploy and train the tokens of their accounts: else no pod starts."""
    namespace, chosen = cluster.place.runs, cluster.settings
    named = [part.token_secret for part in (chosen.serving, chosen.train_job) if part is not None and part.token_secret]
    if not named:
        return skipped("tokens: the settings name none (token_secret)")
    for name in filter(None, named):
        if not (cluster.secret(namespace, name) or {}).get("token"):
            return wrong(f"there is no Secret {name} with a token in namespace {namespace}", _APPLY)
    return ok(f"there is a token in {' and '.join(filter(None, named))}")


def check_admission(cluster: Cluster) -> Result:
    """Whether the policies are there and bound that limit what deploy may change and who runs may be."""
    for name in _ADMISSION:
        if cluster.api.find(POLICIES, None, name) is None:
            return wrong(f"there is no ValidatingAdmissionPolicy {name}", _APPLY)
        binding = cluster.api.find(POLICY_BINDINGS, None, name)
        if binding is None or "Deny" not in names(binding, "spec", "validationActions"):
            return wrong(f"ValidatingAdmissionPolicy {name} is not bound with validationActions [Deny]", _APPLY)
    return ok(f"{' and '.join(_ADMISSION)} deny what they forbid")


def check_pod_security(cluster: Cluster) -> Result:
    """Whether the predictor's namespace refuses pods that could take over a node."""
    namespace = cluster.place.serving
    found = cluster.api.find(NAMESPACES, None, namespace)
    if found is None:
        return wrong(f"there is no namespace {namespace}", _APPLY)
    level = text(found, "metadata", "labels", _ENFORCE)
    if level != "restricted":
        return wrong(
            f"namespace {namespace} has {f'{_ENFORCE}: {level}' if level else f'no label {_ENFORCE}'}",
            f"`kubectl label namespace {namespace} --overwrite {_ENFORCE}=restricted`",
        )
    return ok(f"namespace {namespace} enforces restricted")


def check_network(cluster: Cluster) -> Result:
    """Whether there is a policy that refuses all traffic first; whether it is enforced cannot be seen from here."""
    namespace = cluster.place.serving
    policies = cluster.api.select(NETWORK_POLICIES, namespace)
    # An empty podSelector means every pod, and no rules mean no traffic.
    denies = [
        item
        for item in policies
        if not field(item, "spec", "podSelector")
        and "Ingress" in names(item, "spec", "policyTypes")
        and not field(item, "spec", "ingress")
    ]
    if not denies:
        return wrong(f"namespace {namespace} has no NetworkPolicy that denies what is not named", _APPLY)
    return skipped(
        f"whether the network plug-in enforces NetworkPolicies: they are there ({len(policies)} in {namespace}), and "
        "only a connection that is refused shows it; `make test-cluster` tries one"
    )


def check_leftovers(cluster: Cluster) -> Result:
    """Whether something of a canary that is gone was left behind, as KServe does with its autoscaler."""
    place = cluster.place
    if cluster.service is None:
        return skipped("there is no InferenceService yet")
    if canary_of(cluster.service) is not None:
        return ok("a canary serves, and has what it needs")
    name = service_name(cluster.service, canary=True)
    left = [kind for kind in _OF_A_CANARY if _is_there(cluster, kind, name)]
    if left:
        what = " and ".join(_OF_A_CANARY[kind] for kind in left)
        kinds = ",".join(_OF_A_CANARY[kind].lower() for kind in left)
        return wrong(
            f"{what} {name} {'was' if len(left) == 1 else 'were'} left of a canary that is gone",
            f"`kubectl delete {kinds} -n {place.serving} {name}`",
        )
    return ok("nothing was left of a canary")


def _is_there(cluster: Cluster, kind: Kind, name: str) -> bool:
    """Whether an object is there, and nobody deleted it: what goes may take a while."""
    there = cluster.listed(kind, cluster.place.serving) or []
    return any(name_of(item) == name and not text(item, "metadata", "deletionTimestamp") for item in there)


def _deployer(cluster: Cluster) -> str:
    """Return the account that deploy speaks with: one for it alone, else that of the whole run."""
    if cluster.api.find(SERVICE_ACCOUNTS, cluster.place.runs, _DEPLOYER) is not None:
        return _DEPLOYER
    return cluster.settings.service_account or _RUNNER


CHECKS = (
    Check("rights of deploy", check_rights),
    Check("tokens", check_token),
    Check("admission policies", check_admission),
    Check("Pod Security", check_pod_security),
    Check("NetworkPolicies", check_network),
    Check("leftovers", check_leftovers),
)
