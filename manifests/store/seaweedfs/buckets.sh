# Run by the job object-store-setup; every step may be repeated.
run() { echo "$1" | weed -logtostderr=true shell -master="$MASTER" -filer="$FILER"; }

until run "fs.ls /" >/dev/null 2>&1; do
    echo "waiting for $MASTER"
    sleep 2
done
for bucket in ranklift mlpipeline; do
    run s3.bucket.list | grep -qw "$bucket" || run "s3.bucket.create -name $bucket"
    run s3.bucket.list | grep -qw "$bucket"
    echo "$bucket: ready"
done
