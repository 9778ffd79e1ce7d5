"""As whom a pod speaks to its cluster: as the account of the pod, or as one whose token was mounted for it alone.

Kubeflow Pipelines gives all pods of a run one account. A stage that needs more than the others gets the token of an
dedicated account: a Secret of the type ``kubernetes.io/service-account-token``, mounted as files.
"""

import os
from pathlib import Path
from typing import Any

#: Names the folder of the mounted token; the pod's own account is used when it is not set.
VARIABLE = "RANKLIFT_KUBERNETES_ACCOUNT_DIR"
#: The namespace of Kubeflow Pipelines and of its runs, unless something else says otherwise.
KUBEFLOW = "kubeflow"
#: Where Kubernetes mounts the account of a pod into it.
POD_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def account_folder() -> Path:
    """Return the folder with the files ``token`` and ``ca.crt``."""
    return Path(os.environ.get(VARIABLE) or POD_ACCOUNT)


def in_a_pod() -> bool:
    """Whether this process runs in a pod that may speak to its cluster."""
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return False
    # An account that was named and is not there is a fault to tell, not a reason to look for kubectl's.
    return bool(os.environ.get(VARIABLE)) or (POD_ACCOUNT / "token").is_file()


def is_pod() -> bool:
    """Whether this process runs in a pod, whatever the pod may do."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and POD_ACCOUNT.is_dir()


def pod_namespace() -> str:
    """Return the namespace of the pod that this process runs in; empty where it runs in none."""
    own = POD_ACCOUNT / "namespace"
    return own.read_text(encoding="utf-8").strip() if own.is_file() else ""


def load_account(configuration: Any) -> None:
    """Have a configuration of the Kubernetes client speak to this pod's cluster as its account.

    Raises:
        kubernetes.config.ConfigException: when there is no token.
    """
    from kubernetes.config import ConfigException
    from kubernetes.config.incluster_config import InClusterConfigLoader

    folder = account_folder()
    token, certificate = folder / "token", folder / "ca.crt"
    if folder != POD_ACCOUNT and not token.is_file():
        raise ConfigException(
            f"{VARIABLE} names {folder}, where there is no token: the Secret that is mounted there must be of the type "
            "kubernetes.io/service-account-token, as manifests/base/pipeline/tokens.yaml has it"
        )
    InClusterConfigLoader(token_filename=str(token), cert_filename=str(certificate)).load_and_set(configuration)
