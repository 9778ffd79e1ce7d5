# Run by the StatefulSet object-store: writes who may do what, then becomes the server.
# KServe's storage initializer asks for the bucket itself (HeadBucket) before it lists, which SeaweedFS takes for reading
# the bucket. `Read:ranklift` would be all objects in it; a pattern means what it matches, and `ranklif?` matches the
# bucket alone, with or without the slash that releases put behind it.
umask 077
cat >"$HOME/identities.json" <<IDENTITIES
{"identities": [
  {"name": "root", "actions": ["Admin"],
   "credentials": [{"accessKey": "$MINIO_ROOT_USER", "secretKey": "$MINIO_ROOT_PASSWORD"}]},
  {"name": "kubeflow",
   "actions": ["Read:mlpipeline", "List:mlpipeline", "Write:mlpipeline", "Tagging:mlpipeline", "List:ranklift",
               "Read:ranklift/runs/*", "Write:ranklift/runs/*", "Tagging:ranklift/runs/*"],
   "credentials": [{"accessKey": "$KUBEFLOW_KEY", "secretKey": "$KUBEFLOW_SECRET"}]},
  {"name": "pipeline", "actions": ["Read:ranklift", "List:ranklift", "Write:ranklift", "Tagging:ranklift"],
   "credentials": [{"accessKey": "$PIPELINE_KEY", "secretKey": "$PIPELINE_SECRET"}]},
  {"name": "predictor",
   "actions": ["List:ranklift", "Read:ranklif?", "Read:ranklif?/", "Read:ranklift/models/*", "Read:ranklift/indexes/*"],
   "credentials": [{"accessKey": "$PREDICTOR_KEY", "secretKey": "$PREDICTOR_SECRET"}]}
]}
IDENTITIES
# A bucket grows by seven volumes at once. -volume.max=0 would allow one volume for each free GiB of the disk, and a second
# bucket would get none on a small disk. Volumes take no space before they are written, and a full disk refuses writes by itself.
exec weed -logtostderr=true server -dir="$DATA" -ip="$ADDRESS" -ip.bind="${BIND:-0.0.0.0}" \
    -master.volumeSizeLimitMB=1024 -master.volumePreallocate=false -volume.max=10000 \
    -filer -s3 -s3.port="$S3_PORT" -s3.config="$HOME/identities.json" ${EXTRA_FLAGS:-}
