#!/usr/bin/env bash
# Train on a Slurm cluster: submits a job that is requeued, and resumes, when it is pre-empted or
# runs into its time limit.
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (10), SBATCH_ARGS and SRUN_ARGS (more options of sbatch
# and srun) may be set. The log is JOB_NAME-JOB_ID.log. A job of its own begins a run, and is refused
# where another run's files are; with --resume it goes on with that one.
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
read -ra sbatch_args <<<"${SBATCH_ARGS:-}"
read -ra srun_args <<<"${SRUN_ARGS:-}"

# Two minutes before the time limit the ranks get SIGUSR1, at pre-emption SIGTERM. They save and end
# with 75; then the job goes back into the queue. Slurm counts how often it has been restarted; only
# then it resumes, by the last --resume, whatever the options say for the first start.
sbatch --partition "$partition" --job-name "$job_name" --gres "gpu:$gpus_per_node" \
    --ntasks "$gpus" --ntasks-per-node "$gpus_per_node" --cpus-per-task "${CPUS_PER_TASK:-10}" \
    --signal USR1@120 --requeue --open-mode append --output "$job_name-%j.log" \
    "${sbatch_args[@]}" <<EOF
#!/usr/bin/env bash
trap : TERM  # wait for the ranks
resume=()
if [ "\${SLURM_RESTART_COUNT:-0}" != 0 ]; then
    resume=(--resume)
fi
status=0
srun --kill-on-bad-exit=0 --wait=60 $(printf ' %q' "${srun_args[@]}" \
    python -u "$(dirname "${BASH_SOURCE[0]}")/train.py" "$config" --launcher slurm "$@") "\${resume[@]}" &
wait \$! || status=\$?
# A trapped signal ends \`wait\` early.
while kill -0 \$! 2>/dev/null; do
    status=0
    wait \$! || status=\$?
done
if [ "\$status" = 75 ]; then
    scontrol requeue "\$SLURM_JOB_ID"
fi
exit "\$status"
EOF
