"""The engine: models in service, batching and caches; knows no protocol."""
