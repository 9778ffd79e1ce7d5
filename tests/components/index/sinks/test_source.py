"""A stored index goes into a database whole, and is verified with its own exact search."""

import numpy as np

from components.index.sinks.publish import publish
from components.index.sinks.source import content_of, passages_of, probes_of
from components.search.reader import open_index
from tests.factories.index_versions import make_index


def stored_index(folder, count=30):
    random = np.random.default_rng(3)
    rows = random.standard_normal((count, 8), dtype=np.float32)
    vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ids = [f"p{number:02}" for number in range(count)]
    make_index(folder, vectors, ids, [f"text of {name}" for name in ids])
    return open_index(folder)


def test_passages_of_index_gives_every_passage_once_in_order(tmp_path):
    index = stored_index(tmp_path / "index")
    blocks = list(passages_of(index))
    assert [name for block in blocks for name in block.ids] == [f"p{number:02}" for number in range(30)]
    assert [text for block in blocks for text in block.texts][:2] == ["text of p00", "text of p01"]
    assert np.array_equal(np.concatenate([block.vectors for block in blocks]), index.vectors(np.arange(30)))


def test_publish_of_a_stored_index_reaches_recall_1(tmp_path, sink):
    index = stored_index(tmp_path / "index")
    probes = probes_of(index, index.vectors(np.arange(5)), 10)
    published = publish(sink, content_of(index, "V4"), passages_of(index), probes, tell=lambda line: None)
    assert published.recall == 1.0
    assert probes.exact[0][0][0] == "p00"
    assert sink.stored()["V4"].digest == index.manifest.digest
