"""The API of a Kubernetes cluster: calls, accounts, port forwarding, kinds and fields."""
