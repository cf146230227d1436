#!/usr/bin/env bash
# Train on the GPUs of one or more machines, or on as many CPU processes where there is no GPU.
#   bash tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# SIGTERM, SIGUSR1 and SIGHUP (the SSH session ends; not under nohup) let it save and end with code
# 75; `--resume` goes on from there. Where this script or torchrun is killed, so are the ranks.
# One machine takes a free port, or PORT; on several set NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
config=$1 gpus=$2
shift 2

if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
    rendezvous=(--standalone)
else
    rendezvous=(--nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}"
        --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}")
fi
# In a process group of its own: signals reach torchrun only through the traps below.
set -m
tools=$(dirname "${BASH_SOURCE[0]}")
python "$tools/launch.py" "${rendezvous[@]}" --nproc_per_node "$gpus" \
    "$tools/train.py" "$config" --launcher pytorch "$@" &
torchrun=$!
set +m
# Asked to stop, the ranks save and leave by themselves. torchrun would give them 30 seconds.
asked=false
stop() {
    asked=true
    local ranks
    read -ra ranks <"/proc/$torchrun/task/$torchrun/children" || true
    if [ ${#ranks[@]} = 0 ]; then
        ranks=("$torchrun") # there are none yet
    fi
    kill -USR1 "${ranks[@]}" 2>/dev/null || true
}
trap stop TERM USR1 HUP
trap 'kill -INT -- -$torchrun' INT

status=0
wait "$torchrun" || status=$?
# A trapped signal ends `wait` early.
while kill -0 "$torchrun" 2>/dev/null; do
    status=0
    wait "$torchrun" || status=$?
done
if [ "$status" != 0 ] && $asked; then
    status=75 # torchrun turns the ranks' 75 into 1
fi
exit "$status"
