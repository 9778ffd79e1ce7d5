"""Training on several nodes, through Kubeflow Trainer."""
