"""Settings of the object store: from the environment, files and mounted secrets, and never shown."""

import logging

import pytest

from components.errors import StoreError
from components.object_store.client import ObjectStore, ObjectStoreSettings

VARIABLES = ("RANKLIFT_S3_", "AWS_", "SSL_CERT_FILE")


@pytest.fixture
def store(registry):
    return registry.store


@pytest.fixture
def bare_environment(monkeypatch, tmp_path):
    """No variable that has to do with an object store, and an empty home."""
    import os

    for name in list(os.environ):
        if name.startswith(VARIABLES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


class TestSettings:
    def test_none_without_an_endpoint(self, bare_environment):
        assert ObjectStoreSettings.from_environment() is None

    def test_the_environment_fills_them(self, bare_environment):
        for name, value in {
            "RANKLIFT_S3_ENDPOINT": "https://s3.example:9000/",
            "RANKLIFT_S3_BUCKET": "models",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "very secret",
            "AWS_SESSION_TOKEN": "also secret",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "RANKLIFT_S3_VIRTUAL_HOST": "true",
        }.items():
            bare_environment.setenv(name, value)
        settings = ObjectStoreSettings.from_environment()
        assert (settings.endpoint, settings.host, settings.secure) == (
            "https://s3.example:9000",
            "s3.example:9000",
            True,
        )
        assert (settings.bucket, settings.region, settings.virtual_host) == ("models", "eu-west-1", True)

    def test_a_mounted_secret_fills_them(self, bare_environment, tmp_path):
        for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very secret"}.items():
            (tmp_path / name).write_text(value + "\n")
        bare_environment.setenv("RANKLIFT_S3_SECRETS_DIR", str(tmp_path))
        bare_environment.setenv("RANKLIFT_S3_ENDPOINT", "http://127.0.0.1:9000")
        settings = ObjectStoreSettings.from_environment()
        assert settings.secret_key.get_secret_value() == "very secret"

    def test_a_file_fills_them_and_the_environment_wins(self, bare_environment, tmp_path):
        (tmp_path / "store.env").write_text(
            "RANKLIFT_S3_ENDPOINT=http://127.0.0.1:9000\nRANKLIFT_S3_BUCKET=from-file\nAWS_ACCESS_KEY_ID=a\n"
            "AWS_SECRET_ACCESS_KEY=b\n"
        )
        bare_environment.setenv("RANKLIFT_S3_ENV_FILE", str(tmp_path / "store.env"))
        bare_environment.setenv("RANKLIFT_S3_BUCKET", "from-environment")
        settings = ObjectStoreSettings.from_environment()
        assert (settings.bucket, settings.access_key.get_secret_value()) == ("from-environment", "a")

    def test_a_child_process_gets_the_same(self, bare_environment, object_store):
        bare_environment.setenv("AWS_SESSION_TOKEN", "of someone else")
        for name, value in object_store.environment().items():
            bare_environment.setenv(name, value)
        assert ObjectStoreSettings.from_environment() == object_store

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("RANKLIFT_S3_ENDPOINT", "127.0.0.1:9000", "is not http://host:port"),
            ("RANKLIFT_S3_ENDPOINT", "s3://bucket", "is not http://host:port"),
            ("RANKLIFT_S3_ENDPOINT", "http://user:hunter2@host", "holds a password"),
            ("RANKLIFT_S3_ENDPOINT", "http://host/bucket", "has a path"),
            ("RANKLIFT_S3_BUCKET", "../etc", "is not a bucket name"),
            ("RANKLIFT_S3_BUCKET", "A", "is not a bucket name"),
            ("RANKLIFT_S3_CA_FILE", "/no/such/file", "there is no file"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2", "belong together"),
            ("RANKLIFT_S3_TIMEOUT", "soon", "valid number"),
        ],
    )
    def test_a_value_that_cannot_be_used_is_one_sentence_without_secrets(self, bare_environment, name, value, sentence):
        bare_environment.setenv("RANKLIFT_S3_ENDPOINT", "http://127.0.0.1:9000")
        bare_environment.setenv(name, value)
        with pytest.raises(StoreError, match=sentence) as raised:
            ObjectStoreSettings.from_environment()
        assert "hunter2" not in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_no_keys_at_all_is_one_sentence(self, bare_environment):
        with pytest.raises(StoreError, match="No keys are set for the object store"):
            ObjectStore(ObjectStoreSettings.of(endpoint="http://127.0.0.1:9000"))

    def test_keys_of_the_aws_tools_are_found(self, bare_environment, store, tmp_path):
        keys = store.settings
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").write_text(
            f"[default]\naws_access_key_id = {keys.access_key.get_secret_value()}\n"
            f"aws_secret_access_key = {keys.secret_key.get_secret_value()}\n"
        )
        shared = ObjectStore(ObjectStoreSettings.of(endpoint=keys.endpoint, bucket=keys.bucket))
        assert shared.put("x", b"1")

    def test_secrets_stand_in_no_representation_error_or_log(self, store, caplog):
        caplog.set_level(logging.DEBUG)
        settings = store.settings
        secret = settings.secret_key.get_secret_value()
        down = ObjectStore(settings.model_copy(update={"endpoint": "http://127.0.0.1:1", "attempts": 2}))
        errors = []
        for call in (lambda: down.find("x"), lambda: down.put("x", b"1"), lambda: down.put_if_absent("x", b"1")):
            with pytest.raises(StoreError) as raised:
                call()
            errors.append(f"{raised.value} {raised.value.__cause__!r}")
        store.put("x", b"1")
        shown = " ".join([repr(settings), str(settings), repr(down), *errors, caplog.text])
        assert secret not in shown
        assert "X-Amz-Signature" not in shown
        assert "Signature=" not in shown
