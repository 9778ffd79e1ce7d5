"""The predictor serves the version that was promoted or none, also when a whole version was swapped in the bucket."""

import asyncio
import json
import os
import shutil
import subprocess

import pytest

from components.errors import StoreError
from components.model.served import EncoderConfig
from components.registry.registry import Lineage
from predictor.engine.served import Served
from predictor.settings import PredictorSettings
from tests.kserve.running import command


@pytest.fixture
def promoted(registry, exported_tiny_model, tmp_path):
    """A version as KServe's storage initialiser would bring it, and the champion's hash of its manifest."""
    version = registry.publish_model(exported_tiny_model, None, Lineage(base_model="tiny"))
    champion = registry.move_champion(version.name, None)
    registry.download("model", version.name, tmp_path / "V0")
    return tmp_path / "V0", champion.manifest_sha256


@pytest.fixture
def swapped(registry, promoted, exported_tiny_model, tmp_path):
    """Another model under the same number, consistent in itself, as whoever may write the bucket can make one."""
    other = shutil.copytree(exported_tiny_model, tmp_path / "other")
    EncoderConfig.of(other).model_copy(update={"max_seq_length": 16}).write(other / "encoder.json")
    version = registry.publish_model(other, None, Lineage(base_model="tiny"))
    registry.download("model", version.name, tmp_path / "elsewhere" / "V0")
    manifest = tmp_path / "elsewhere" / "V0" / "version.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_bytes()) | {"version": "V0"}))
    return manifest.parent


def open_and_close(directory, manifest_sha256):
    async def serve():
        served = await Served.open(directory, PredictorSettings(manifest_sha256=manifest_sha256, threads=1))
        await served.close()
        return served.version

    return asyncio.run(serve())


def test_what_was_promoted_is_served(promoted):
    directory, manifest_sha256 = promoted
    assert open_and_close(directory, manifest_sha256) == "V0"
    assert open_and_close(directory, "") == "V0"


def test_a_version_that_was_swapped_whole_is_refused_by_the_champions_hash(promoted, swapped):
    _, manifest_sha256 = promoted
    assert open_and_close(swapped, "") == "V0"  # consistent in itself: only the champion's record can tell
    with pytest.raises(StoreError, match=r"version\.json is not the manifest that became champion"):
        open_and_close(swapped, manifest_sha256)


@pytest.mark.parametrize("name", ["encoder.bin", "modules.json", "1_Pooling/config.json"])
def test_a_changed_file_is_refused_whether_or_not_serving_reads_it(promoted, name):
    directory, _ = promoted
    (directory / name).write_bytes((directory / name).read_bytes() + b" ")
    with pytest.raises(StoreError, match=rf"{name} is damaged"):
        open_and_close(directory, "")


def test_what_is_no_version_is_refused_where_one_was_promoted(promoted, exported_tiny_model):
    _, manifest_sha256 = promoted
    with pytest.raises(StoreError, match=r"it has no version\.json"):
        open_and_close(exported_tiny_model, manifest_sha256)


def test_the_process_does_not_start_on_it_and_says_why(promoted, swapped):
    _, manifest_sha256 = promoted
    environment = {**os.environ, "RANKLIFT_PREDICTOR_MANIFEST_SHA256": manifest_sha256}
    ended = subprocess.run(command(swapped), capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 2
    assert "is not the manifest that became champion" in ended.stderr
    assert "Traceback" not in ended.stderr
