"""What the predictor tells Prometheus, at /metrics beside kserve's own metrics."""

from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram, Info

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUESTS = Counter("ranklift_requests", "Requests answered", ["route", "status"])
LATENCY = Histogram(
    "ranklift_request_seconds", "Time from a request's arrival to its answer", ["route"], buckets=_LATENCY
)
QUEUE = Gauge("ranklift_queue_texts", "Texts admitted and not embedded yet")
QUEUE_WAIT = Histogram("ranklift_queue_wait_seconds", "Time a text waited for its batch", buckets=_LATENCY)
BATCH_TEXTS = Histogram("ranklift_batch_texts", "Texts in one inference", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
BATCH_TOKENS = Histogram(
    "ranklift_batch_tokens",
    "Tokens in one inference, padding included",
    buckets=(16, 64, 128, 256, 512, 1024, 2048, 4096),
)
INFERENCE = Histogram("ranklift_inference_seconds", "Time of one inference", buckets=_LATENCY)
CACHE_HITS = Counter("ranklift_cache_hits", "Documents whose embedding was cached")
CACHE_JOINED = Counter("ranklift_cache_joined", "Documents that another request was already having encoded")
CACHE_MISSES = Counter("ranklift_cache_misses", "Documents that had to be encoded")
CACHE_BYTES = Gauge("ranklift_cache_bytes", "Bytes of cached document embeddings")
CACHE_ENTRIES = Gauge("ranklift_cache_entries", "Cached document embeddings")
SEARCH = Histogram("ranklift_search_seconds", "Time in the index for up to 16 queries", buckets=_LATENCY)
MODEL = Info("ranklift_model", "The model that serves")
INDEX = Info("ranklift_index", "The index that serves; empty without one")
SWITCHES = Counter("ranklift_model_switches", "Attempts to switch the model", ["outcome"])


def observe_batch(tokens: int, seconds: float, waits: Sequence[float]) -> None:
    """Count one inference: its tokens, padding included, its time, and how long each of its texts had waited."""
    BATCH_TEXTS.observe(len(waits))
    BATCH_TOKENS.observe(tokens)
    INFERENCE.observe(seconds)
    for wait in waits:
        QUEUE_WAIT.observe(wait)
