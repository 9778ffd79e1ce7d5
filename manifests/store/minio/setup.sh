# Run by the job object-store-setup; every step may be repeated. The image has a shell, mc, and little else.
until mc alias set store "$STORE" "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD" >/dev/null 2>&1; do
    echo "waiting for $STORE"
    sleep 2
done

for bucket in ranklift mlpipeline; do
    mc mb --ignore-existing "store/$bucket"
done
# What somebody deletes or overwrites in the registry can be brought back. Checkpoints of trainings come and go.
mc version enable --excluded-prefixes "training/*" store/ranklift

allow() { # name, key, secret
    mc admin policy create store "$1" "/setup/$1.json"
    mc admin user add store "$2" "$3" >/dev/null
    # To attach what is attached already is an error to mc: what counts is that it is attached.
    mc admin policy attach store "$1" --user "$2" >/dev/null 2>&1 || true
    case "$(mc admin policy entities store --user "$2")" in
    *"$1"*) echo "$1: ready" ;;
    *)
        echo "the policy $1 was not attached" >&2
        return 1
        ;;
    esac
}
allow kubeflow "$KUBEFLOW_KEY" "$KUBEFLOW_SECRET"
allow pipeline "$PIPELINE_KEY" "$PIPELINE_SECRET"
allow predictor "$PREDICTOR_KEY" "$PREDICTOR_SECRET"
