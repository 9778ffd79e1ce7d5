"""An object store that fails: every call is tried a bounded number of times, then there is one clear sentence.

What is tried is a whole promotion, a download, and the reading of the champion; what is checked is that nothing is
lost: the champion stays whole, and the same promotion succeeds once the store is well again.
"""

import hashlib
import random
import time

import pytest

from components.errors import StoreError
from components.model.served import EncoderConfig
from components.object_store.client import ObjectStore
from components.object_store.transfer import download, upload
from components.promote.promote import promote
from components.registry.registry import Registry
from components.registry.verify import verify
from tests.factories.decisions import make_decision
from tests.factories.model_versions import make_model
from tests.faults.proxy import Fault
from tests.faults.victims import download_with_little_room, plain

SLOW_DOWN = Fault(status=503, code="SlowDown")

FAULTS = {
    "500": (Fault(status=500, code="InternalError"), "answered HTTP 500 InternalError"),
    "503 slow down": (SLOW_DOWN, "answered HTTP 503 SlowDown"),
    "503 without a body": (Fault(status=503), "answered HTTP 503"),
    "429": (Fault(status=429, code="TooManyRequests"), "answered HTTP 429"),
    "reset before the request": (Fault(lose="request"), "broke the connection"),
    "reset after the request": (Fault(lose="answer"), "broke the connection"),
    "no answer": (Fault(stall=1.5), "did not answer in time"),
    "disk full": (Fault(status=507, code="InsufficientStorage"), "has no room left"),
    "quota": (Fault(status=403, code="QuotaExceeded"), "room left|does not allow"),
    "clock skew": (Fault(status=403, code="RequestTimeTooSkewed"), "clock is more than 15 minutes off"),
    "wrong key": (Fault(status=403, code="SignatureDoesNotMatch"), "check AWS_ACCESS_KEY_ID"),
    "no permission": (Fault(status=403, code="AccessDenied"), "give these keys read and write access"),
}


def decision_for(model, against="b" * 64):
    return make_decision(candidate_digest=EncoderConfig.of(model).digest, champion_digest=against)


@pytest.fixture
def first(tmp_path):
    return make_model(tmp_path / "first", "a")


@pytest.fixture
def second(tmp_path):
    return make_model(tmp_path / "second", "b")


@pytest.fixture(autouse=True)
def champion(registry, first):
    promote(first, decision_for(first), registry)
    return registry.champion()


@pytest.mark.parametrize("name", FAULTS)
def test_a_store_that_fails_every_write_is_one_sentence_and_loses_nothing(
    registry, through_proxy, proxy, champion, second, name
):
    fault, sentence = FAULTS[name]
    proxy.plan = lambda call: fault if call.method == "PUT" else None
    decision = decision_for(second, champion.digest)
    with pytest.raises(StoreError, match=sentence) as raised:
        promote(second, decision, through_proxy)
    assert "\n" not in str(raised.value)
    assert proxy.endpoint in str(raised.value)
    assert len([call for call in proxy.calls if call.method == "PUT"]) <= 4
    assert registry.champion().head == champion.head
    assert verify(registry).sound
    proxy.reset()
    assert promote(second, decision, through_proxy) == "V1"
    assert registry.champion().version == "V1"


@pytest.mark.parametrize(
    "fault",
    [SLOW_DOWN, Fault(status=500), Fault(lose="request"), Fault(lose="answer"), Fault(cut=True), Fault(stall=1.5)],
    ids=["slow down", "500", "request lost", "answer lost", "answer cut", "stalled"],
)
@pytest.mark.parametrize("turn", [0, 1], ids=["every first time", "every second time"])
def test_faults_that_pass_are_not_seen(registry, through_proxy, proxy, champion, second, fault, turn, tmp_path):
    tried = {}

    def plan(call):
        key = (call.method, call.path.split("X-Amz")[0])
        tried[key] = tried.get(key, 0) + 1
        return fault if tried[key] == turn + 1 and (fault.stall == 0 or len(tried) % 4 == 0) else None

    proxy.plan = plan
    assert promote(second, decision_for(second, champion.digest), through_proxy) == "V1"
    assert [entry.version for entry in registry.champion().history] == ["V0", "V1"]
    through_proxy.download("model", "V1", tmp_path / "V1")
    assert verify(registry).findings == []


@pytest.mark.parametrize(
    "fault",
    [Fault(shorten=True), Fault(flip=True)],
    ids=["truncated body with a good status", "one byte changed"],
)
def test_an_answer_that_is_not_what_was_stored_is_never_used(through_proxy, proxy, fault, tmp_path):
    proxy.plan = lambda call: fault if "encoder.bin" in call.path and call.method == "GET" else None
    with pytest.raises(StoreError, match=r"encoder\.bin"):
        through_proxy.download("model", "V0", tmp_path / "V0")
    assert not (tmp_path / "V0").exists()
    proxy.reset()
    through_proxy.download("model", "V0", tmp_path / "V0")


@pytest.mark.parametrize("document", ["champion.json", "models/V0/version.json"])
@pytest.mark.parametrize("fault", [Fault(shorten=True), Fault(flip=True)], ids=["truncated", "changed"])
def test_a_document_that_arrives_damaged_is_refused(through_proxy, proxy, champion, document, fault, tmp_path):
    proxy.plan = lambda call: fault if document in call.path else None
    with pytest.raises(StoreError, match=document):
        champion = through_proxy.champion()
        through_proxy.download("model", "V0", tmp_path / "V0", champion.manifest_sha256)
    assert not (tmp_path / "V0").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("key", ["champion.json", "encoder.bin"], ids=["a document", "a file"])
def test_a_store_that_never_stops_sending_a_little_is_given_up(through_proxy, proxy, key, tmp_path):
    # Bytes keep coming, so that no time-out of the network's ever strikes: at this rate it would take minutes.
    proxy.plan = lambda call: Fault(drip=0.5) if key in call.path and call.method == "GET" else None
    through_proxy.store.settings = through_proxy.store.settings.model_copy(update={"attempts": 2})
    with pytest.raises(StoreError, match=r"sent a damaged answer \(only \d+ bytes in \d s\), 2 times"):
        through_proxy.champion()
        through_proxy.download("model", "V0", tmp_path / "V0")
    assert len([call for call in proxy.calls if key in call.path and call.method == "GET"]) == 2


STORM = [SLOW_DOWN, Fault(status=500), Fault(lose="request"), Fault(lose="answer"), Fault(cut=True), Fault(flip=True)]


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_faults_loses_nothing(registry, through_proxy, proxy, tmp_path, seed):
    chance = random.Random(seed)

    def plan(call):
        return chance.choice(STORM) if chance.random() < 0.2 else None

    proxy.plan = plan
    promoted, refused = [], 0
    for number in range(4):
        model = make_model(tmp_path / f"model-{number}", f"storm {number}")
        decision = decision_for(model, registry.champion().digest)
        try:
            promoted.append((promote(model, decision, through_proxy), decision.candidate_digest))
        except StoreError:
            refused += 1
            assert verify(registry).sound
            promoted.append((promote(model, decision, registry), decision.candidate_digest))
    history = registry.champion().history[1:]
    assert [(entry.version, entry.digest) for entry in history] == promoted
    assert verify(registry).sound
    print(f"{len(proxy.calls)} requests, {refused} of {len(promoted)} promotions refused at first")


@pytest.mark.parametrize("fault", [Fault(shorten=True), Fault(flip=True)], ids=["truncated", "changed"])
@pytest.mark.parametrize("status", [200, 500], ids=["listing", "error"])
def test_xml_that_arrives_damaged_is_one_sentence(through_proxy, proxy, fault, status):
    proxy.plan = lambda call: fault
    with pytest.raises(StoreError, match=r"sent a damaged answer \("):
        through_proxy.list_versions("model") if status == 200 else through_proxy.store.get("nothing")
    assert len(proxy.calls) == 4


def test_a_store_that_is_down_is_one_sentence(registry):
    settings = registry.store.settings.model_copy(update={"endpoint": "http://127.0.0.1:1", "attempts": 2})
    with pytest.raises(StoreError, match="accepts no connection; start it, or check RANKLIFT_S3_ENDPOINT, 2 times"):
        Registry(ObjectStore(settings)).champion()


def test_a_host_that_does_not_exist_is_one_sentence(registry):
    settings = registry.store.settings.model_copy(update={"endpoint": "http://nowhere.invalid:9000", "attempts": 1})
    with pytest.raises(StoreError, match=r"nowhere\.invalid.* does not resolve"):
        Registry(ObjectStore(settings)).champion()


def test_attempts_are_bounded_and_spread(through_proxy, proxy):
    proxy.plan = lambda call: SLOW_DOWN
    started = time.monotonic()
    with pytest.raises(StoreError, match="SlowDown"):
        through_proxy.champion()
    assert len(proxy.calls) == 4
    assert time.monotonic() - started >= 0.15  # three pauses, of 50 ms each at the least


def test_what_cannot_get_better_is_tried_once(through_proxy, proxy):
    proxy.plan = lambda call: Fault(status=403, code="AccessDenied")
    with pytest.raises(StoreError, match="AccessDenied"):
        through_proxy.champion()
    assert len(proxy.calls) == 1


def test_a_broken_download_is_carried_on_and_not_begun_again(registry, through_proxy, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr("components.object_store.transfer.PART", 5 << 20)
    monkeypatch.setattr("components.object_store.transfer.parts_of.__defaults__", (5 << 20,))
    content = hashlib.sha256(b"seed").digest() * (11 << 15)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "large").write_bytes(content)
    upload(through_proxy.store, "large", tmp_path / "large", digest)
    ranges = len(proxy.calls)
    assert any("partNumber=3" in str(call) for call in proxy.calls)

    gets = []
    proxy.plan = lambda call: gets.append(call) or (Fault(status=500) if len(gets) > 2 else None)
    with pytest.raises(StoreError, match="HTTP 500"):
        download(through_proxy.store, "large", tmp_path / "copy", digest, len(content))
    assert not (tmp_path / "copy").exists()
    done = len((tmp_path / "copy.journal").read_text().split())
    assert 1 <= done < 3
    proxy.reset()
    download(through_proxy.store, "large", tmp_path / "copy", digest, len(content))
    assert len(proxy.calls) == 3 - done
    assert (tmp_path / "copy").read_bytes() == content
    assert not list(tmp_path.glob("copy.*"))
    assert ranges > 3


def test_a_broken_upload_is_carried_on_and_not_begun_again(registry, through_proxy, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr("components.object_store.transfer.PART", 5 << 20)
    monkeypatch.setattr("components.object_store.transfer.parts_of.__defaults__", (5 << 20,))
    content = hashlib.sha256(b"seed").digest() * (11 << 15)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "large").write_bytes(content)
    proxy.plan = lambda call: Fault(status=500) if "partNumber=3" in call.path else None
    with pytest.raises(StoreError, match="HTTP 500"):
        upload(through_proxy.store, "large", tmp_path / "large", digest)
    assert registry.store.stat("large") is None
    proxy.reset()
    upload(through_proxy.store, "large", tmp_path / "large", digest)
    assert [call.method for call in proxy.calls].count("PUT") == 1
    proxy.reset()
    upload(through_proxy.store, "large", tmp_path / "large", digest)
    assert [call.method for call in proxy.calls] == ["HEAD"]
    download(registry.store, "large", tmp_path / "copy", digest, len(content))


def test_a_local_disk_that_is_full_is_one_sentence(registry, processes, tmp_path):
    # A limit on the size of a file stands for the disk's: the kernel refuses the write all the same.
    arguments = (plain(registry.store.settings), tmp_path / "V0", 500, tmp_path / "result")
    process = processes.Process(target=download_with_little_room, args=arguments)
    process.start()
    process.join(60)
    assert (tmp_path / "result").read_text().startswith("Could not write ")
    assert "free some space and run the command again" in (tmp_path / "result").read_text()
    assert not (tmp_path / "V0").exists()
    registry.download("model", "V0", tmp_path / "V0")
