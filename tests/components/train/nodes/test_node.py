"""One node of several: why it gave up reaches the stage that follows it."""

import json
import re

import pytest

from components.errors import DataError, RankliftError, StoreError
from components.train.nodes import node
from components.train.nodes.handover import Handover

TORCHRUN = {"PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": "29500"}


class TestANode:
    @pytest.mark.parametrize(
        ("unset", "sentence"),
        [
            pytest.param("PET_MASTER_ADDR", r"PET_MASTER_ADDR is not set.*such as torch-distributed", id="no others"),
            pytest.param("", r"There is no object training/0123/inputs\.json", id="no inputs"),
        ],
    )
    def test_why_it_gives_up_is_handed_over(self, store, monkeypatch, capsys, unset, sentence):
        for name, value in TORCHRUN.items():
            monkeypatch.setenv(name, "" if name == unset else value)
        assert node.main("0123") == 2
        (error,) = Handover(store, "0123").failures()
        assert re.search(sentence, str(error))
        assert str(error) in capsys.readouterr().err

    def test_what_a_worker_said_stands_before_what_the_others_saw_of_it(self, store):
        handover = Handover(store, "0123")
        handover.report_failure(0, RankliftError("A training process ended with status 1."))
        handover.report_failure(1, DataError("dev.parquet is empty."))
        assert str(handover.failures()[0]) == "dev.parquet is empty."
        handover.clear_failures()
        assert handover.failures() == []

    def test_a_list_that_leads_out_of_the_folder_is_refused(self, store, tmp_path):
        entry = {"sha256": "0" * 64, "size": 1}
        store.put("training/0123/model.json", json.dumps({"files": {"../escaped.json": entry}}).encode())
        with pytest.raises(StoreError, match="is not a plain relative path"):
            Handover(store, "0123").receive_model(tmp_path / "model")
        assert list(tmp_path.iterdir()) == []
