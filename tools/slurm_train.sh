#!/usr/bin/env bash
# Train on a Slurm cluster.
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5) and SRUN_ARGS (more options of srun) may be set.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]" >&2
    exit 2
fi
partition=$1 job_name=$2 config=$3
shift 3

gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-8}
if [ "$gpus_per_node" -gt "$gpus" ]; then
    gpus_per_node=$gpus
fi
read -ra srun_args <<<"${SRUN_ARGS:-}"
exec srun --partition "$partition" --job-name "$job_name" --gres "gpu:$gpus_per_node" \
    --ntasks "$gpus" --ntasks-per-node "$gpus_per_node" --cpus-per-task "${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 "${srun_args[@]}" \
    python -u "$(dirname "${BASH_SOURCE[0]}")/train.py" "$config" --launcher slurm "$@"
