"""What deploy reads from an InferenceService, in each form that one may have."""

import pytest

from components.deploy.cluster.attempt import uri_of
from components.deploy.cluster.inference_service import complaint_of, revision_of


@pytest.mark.parametrize("uri", ["s3://b/models/V10", "s3://b/models/V10/"], ids=["no slash", "slash"])
def test_revision_of_a_service_without_a_version_takes_it_from_the_uri(uri):
    service = {"metadata": {}, "spec": {"predictor": {"containers": [
        {"name": "kserve-container", "env": [{"name": "STORAGE_URI", "value": uri}]}
    ]}}}  # fmt: skip
    assert (revision_of(service).version, revision_of(service).storage_uri) == ("V10", uri)


def test_uri_of_a_version_ends_with_a_slash_as_the_initializer_takes_it_for_a_prefix(history):
    keys = [item.key for item in history.store.list(uri_of("V1", history).split("/", 3)[3])]
    assert "models/V1/version.json" in keys
    assert all(key.startswith("models/V1/") for key in keys)
    assert uri_of("V1", history).endswith("/models/V1/")


@pytest.mark.parametrize(
    ("state", "complaint"),
    [("BlockedByFailedLoad", "ModelLoadFailed: no store"), ("InProgress", "PredictorReady is False: exceeded quota")],
    ids=["a model that does not load", "a model that was loaded at the second try"],
)
def test_complaint_of_a_service_with_a_failed_load_names_it_while_it_lasts(state, complaint):
    service = {"status": {
        "conditions": [{"type": "PredictorReady", "status": "False", "message": "exceeded quota"}],
        "modelStatus": {
            "transitionStatus": state, "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "no store\n"},
        },
    }}  # fmt: skip
    assert complaint_of(service) == complaint
