# `server /data`, as MinIO is started: one S3 server on port 9000 that knows one pair of keys.
set -eu
export AWS_ACCESS_KEY_ID="$MINIO_ROOT_USER" AWS_SECRET_ACCESS_KEY="$MINIO_ROOT_PASSWORD"
exec weed mini -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -s3.port=9000 -s3.port.iceberg=0 -s3.port.lance=0 -admin.ui=false \
    -webdav=false -master.telemetry=false -master.electionTimeout=1s
