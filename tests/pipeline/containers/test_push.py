"""Pushed images are named by the digest that the registry gave them."""

import json

import pytest

from components.errors import RankliftError
from pipeline.containers import push
from pipeline.images import PREDICTOR, TARGETS

DOCKER = """#!/bin/sh
case "$*" in
*absent*) exit 1 ;;
*.Size*) echo 1000 ;;
"push --quiet "*refused*) echo denied >&2; exit 1 ;;
"push --quiet "*) echo pushed ;;
*forgotten*) echo '[]' ;;
*) for last; do :; done; echo "[\\"elsewhere/x@sha256:0\\", \\"${last%:*}@sha256:${last##*-}\\"]" ;;
esac
"""


@pytest.fixture(autouse=True)
def docker(tmp_path, monkeypatch):
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o700)
    monkeypatch.setenv("DOCKER", str(program))


def test_push_images_gives_every_image_its_digest_in_that_registry():
    pushed = push.push_images("localhost:5000/you", "1.2.3")
    assert [image.name for image in pushed] == [f"localhost:5000/you/ranklift-{name}" for name in (*TARGETS, PREDICTOR)]
    assert pushed[0] == push.PushedImage(
        "localhost:5000/you/ranklift-prepare", "1.2.3", "sha256:prepare:1.2.3", "ranklift-prepare.cdx.json"
    )


@pytest.mark.parametrize(
    ("registry", "tag", "sentence"),
    [
        ("", "1", "No registry is named"),
        ("example.com/absent", "1", "no image example.com/absent/ranklift-prepare:1"),
        ("example.com/refused", "1", "was not pushed"),
        ("example.com/forgotten", "1", "knows no digest"),
    ],
    ids=["no registry", "not built", "not allowed", "no digest"],
)
def test_push_images_that_cannot_be_pushed_says_why(registry, tag, sentence):
    with pytest.raises(RankliftError, match=sentence):
        push.push_images(registry, tag)


def test_main_writes_the_file_that_the_signatures_are_made_from(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("RANKLIFT_IMAGE_REGISTRY", "ghcr.io/you")
    monkeypatch.setenv("RANKLIFT_IMAGE_TAG", "1.2.3")
    monkeypatch.setattr("sys.argv", ["push", str(tmp_path / "dist" / "images.json")])
    assert push.main() == 0
    written = json.loads((tmp_path / "dist" / "images.json").read_text())
    assert [image["name"] for image in written][-1] == "ghcr.io/you/ranklift-predictor"
    assert "ghcr.io/you/ranklift-gate@sha256:gate" in capfd.readouterr().out
