"""Any S3 object store, and an embedded server for machines that have none."""
