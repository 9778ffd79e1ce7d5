"""Someone who may write the bucket, or the folder that is published: nothing leaves its folder, nothing is run."""

import hashlib
import json
import os
import pickle
import zipfile
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import DataError, RankliftError, StoreError
from components.machine.digest import tree_sha256
from components.registry.files import FileEntry, check_names
from components.registry.registry import Lineage
from components.registry.version import VersionManifest
from tests.factories.model_versions import make_model

PAYLOAD = b"payload"
ENTRY = {"sha256": hashlib.sha256(PAYLOAD).hexdigest(), "size": len(PAYLOAD)}

ESCAPES = {
    "parent": "../outside.json",
    "parent further in": "1_Pooling/../../outside.json",
    "absolute": "/outside.json",
    "home": "~/../outside.json",
    "backslash": "..\\outside.json",
    "drive": "C:/outside.json",
    "nul": "out\0side.json",
    "newline": "out\nside.json",
    "empty part": "a//outside.json",
    "here": "./outside.json",
    "trailing dot": "outside.json/.",
    "empty": "",
    "long": "a/" * 300 + "outside.json",
    "its own manifest": "version.json",
    "its own claim": "claim.json",
    "python": "modeling_evil.py",
    "pickle": "weights.pkl",
    "torch": "pytorch_model.pt",
    "library": "evil.so",
    "script": "run.sh",
    "no suffix": "evil",
}


def write_version(registry, names, **changed):
    """A version as an attacker writes one: consistent in itself, and any content at all."""
    files = {name: ENTRY for name in names}
    manifest = {
        "format": 1,
        "kind": "model",
        "version": "V0",
        "created": "2026-11-01T00:00:00Z",
        "digest": "d" * 64,
        "content": tree_sha256({name: ENTRY["sha256"] for name in names}),
        "files": files,
        "lineage": {},
    } | changed
    registry.store.put("models/V0/claim.json", json.dumps({"format": 1, "content": manifest["content"]}).encode())
    registry.store.put("models/V0/version.json", json.dumps(manifest).encode())
    for name in names:
        if name and "\0" not in name and "//" not in name and "/." not in name and not name.startswith((".", "/")):
            registry.store.put(f"models/V0/{name}", PAYLOAD)


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ESCAPES.values(), ids=ESCAPES.keys())
def test_a_file_that_a_version_may_not_hold_is_refused_before_anything_is_written(registry, tmp_path, name):
    write_version(registry, [name] if name not in {"version.json", "claim.json"} else [], files={name: ENTRY})
    with pytest.raises(StoreError, match=r"models/V0/version\.json in bucket .* is not a version manifest"):
        registry.download("model", "V0", tmp_path / "inner" / "V0")
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    "names",
    [["a.json", "A.json"], ["a.json", "a.json/b.json"], ["é.json", "é.json"]],
    ids=["case", "file and folder", "two spellings"],
)
def test_two_names_for_one_place_are_refused(registry, tmp_path, names):
    write_version(registry, [], files={name: ENTRY for name in names})
    with pytest.raises(StoreError, match="not a version manifest"):
        registry.download("model", "V0", tmp_path / "V0")


@given(st.text(max_size=40), st.sampled_from(["", ".json", "/x.json"]))
def test_whatever_name_passes_stays_below_its_folder(text, suffix):
    name = text + suffix
    try:
        check_names({name: FileEntry(**ENTRY)})
    except ValueError:
        return
    assert not PurePosixPath(name).is_absolute()
    assert ".." not in PurePosixPath(name).parts
    assert PureWindowsPath(name).drive == PureWindowsPath(name).root == ""
    assert PurePosixPath(name).as_posix() == name


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "V1"},
        {"version": "../V0"},
        {"kind": "dataset"},
        {"content": "0" * 64},
        {"format": 2},
        {"surprise": 1},
        {"files": {"a.json": {"sha256": "zz", "size": 1}}},
        {"files": {"a.json": {"sha256": "0" * 64, "size": -1}}},
    ],
    ids=lambda changed: " ".join(map(str, changed.items()))[:40],
)
def test_a_manifest_that_does_not_fit_the_schema_or_the_place_is_refused(registry, tmp_path, changed):
    write_version(registry, ["a.json"], **changed)
    with pytest.raises(StoreError, match=r"models/V0/version\.json"):
        registry.download("model", "V0", tmp_path / "V0")
    assert not (tmp_path / "V0").exists()


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 200_000], ids=repr)
def test_a_manifest_that_is_no_document_is_refused(registry, content):
    registry.store.put("models/V0/version.json", content[:200_000])
    with pytest.raises(StoreError, match="is not a version manifest"):
        registry.manifest("model", "V0")


def test_a_size_that_is_a_lie_does_not_fill_the_disk(registry, tmp_path):
    write_version(registry, ["a.json"], files={"a.json": ENTRY | {"size": 3}})
    with pytest.raises(StoreError, match=r"models/V0/a\.json"):
        registry.download("model", "V0", tmp_path / "V0")


class TestPublishing:
    @pytest.fixture
    def model(self, tmp_path):
        return make_model(tmp_path / "model")

    def publish(self, registry, model):
        return registry.publish_model(model, None, Lineage())

    def test_a_link_is_refused(self, registry, model):
        (model / "notes.txt").symlink_to("/etc/passwd")
        with pytest.raises(DataError, match=r"notes\.txt is a link"):
            self.publish(registry, model)

    def test_a_linked_folder_is_refused(self, registry, model, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (model / "2_Dense").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataError, match="2_Dense is a link"):
            self.publish(registry, model)

    def test_a_pipe_is_refused(self, registry, model):
        os.mkfifo(model / "pipe.json")
        with pytest.raises(DataError, match="not a regular file"):
            self.publish(registry, model)

    @pytest.mark.parametrize("name", ["train.py", "training_args.pt", "weights.pkl", "a b?.json"])
    def test_a_file_that_could_run_or_has_no_portable_name_is_refused(self, registry, model, name):
        (model / name).write_text("x")
        with pytest.raises(DataError, match="cannot be published"):
            self.publish(registry, model)

    def test_a_pickle_by_another_name_is_refused(self, registry, model):
        (model / "training_args.bin").write_bytes(pickle.dumps({"a": 1}))
        with pytest.raises(DataError, match=r"training_args\.bin is a pickle"):
            self.publish(registry, model)

    def test_an_archive_of_pickles_by_another_name_is_refused(self, registry, model):
        with zipfile.ZipFile(model / "pytorch_model.bin", "w") as archive:
            archive.writestr("data.pkl", pickle.dumps({"a": 1}))
        with pytest.raises(DataError, match=r"pytorch_model\.bin is a pickle"):
            self.publish(registry, model)

    def test_hidden_files_stay_at_home(self, registry, model):
        (model / ".env").write_text("SECRET=1")
        version = self.publish(registry, model)
        assert not [item.key for item in registry.store.list() if "env" in item.key]
        assert ".env" not in registry.manifest("model", version.name).files


def test_a_pickle_that_was_put_into_the_bucket_is_not_handed_out(registry, tmp_path):
    content = pickle.dumps({"a": 1})
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    files = {"pytorch_model.bin": entry}
    write_version(
        registry, [], files=files, content=tree_sha256({name: each["sha256"] for name, each in files.items()})
    )
    registry.store.put("models/V0/pytorch_model.bin", content)
    with pytest.raises(StoreError, match="is a pickle"):
        registry.download("model", "V0", tmp_path / "V0")
    assert not (tmp_path / "V0").exists()


def test_a_partial_folder_that_is_a_link_is_not_written_through(registry, tmp_path):
    version = registry.publish_model(make_model(tmp_path / "model"), None, Lineage())
    (tmp_path / "elsewhere").mkdir()
    partial = tmp_path / f".V0.{version.manifest_sha256[:16]}.partial"
    partial.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is a link"):
        registry.download("model", "V0", tmp_path / "V0")
    assert listing(tmp_path / "elsewhere") == []


def test_a_log_line_cannot_be_forged_by_a_name(registry):
    registry.store.put("models/V0/version.json", b"{}")
    with pytest.raises(RankliftError) as raised:
        registry.manifest("model", "V0\nranklift: champion is V9")
    assert "\n" not in str(raised.value)


def test_the_schema_of_a_manifest_is_published():
    schema = VersionManifest.model_json_schema()
    assert schema["additionalProperties"] is False
    assert {"files", "content", "lineage", "version"} <= set(schema["required"])
