"""gRPC: the Open Inference Protocol for KServe's and Triton's clients."""
