"""Deploy on a cluster: one InferenceService, from one version to the next."""
