"""A generator or teacher of another kind is named before anything slow begins."""

import pytest

from components.errors import ModelError
from components.source.helpers import check_helpers
from tests.factories.models import make_tiny_cross_encoder, make_tiny_generator


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The folders of a generator and of a teacher."""
    folder = tmp_path_factory.mktemp("helpers")
    return str(make_tiny_generator(folder / "generator")), str(make_tiny_cross_encoder(folder / "teacher"))


def test_check_helpers_takes_both_or_none(models):
    check_helpers(*models)
    check_helpers("", "")


@pytest.mark.parametrize("taken", [(1, None), (None, 0)], ids=["a teacher that is to write", "a writer that teaches"])
def test_check_helpers_of_one_in_the_place_of_the_other_is_an_error(models, taken):
    names = ["" if place is None else models[place] for place in taken]
    with pytest.raises(ModelError, match=r"^The (query generator|teacher) .* is a"):
        check_helpers(*names)


def test_check_helpers_from_an_object_store_copies_and_checks_them(models, object_store, monkeypatch):
    from pathlib import Path

    from components.object_store.client import ObjectStore

    for name, value in object_store.environment().items():
        monkeypatch.setenv(name, value)
    store = ObjectStore(object_store.model_copy(update={"bucket": "helpers"}))
    store.ensure_bucket()
    for path in Path(models[1]).iterdir():
        store.put(f"teacher/{path.name}", path.read_bytes())
    check_helpers("", "s3://helpers/teacher")
    with pytest.raises(ModelError, match="is a BertForSequenceClassification, which writes no text"):
        check_helpers("s3://helpers/teacher", "")
