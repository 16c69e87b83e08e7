#!/usr/bin/env bash
# Ten seeds of a config, one task a seed, on a SLURM cluster:
#
#   sbatch --array=0-9 --cpus-per-task=4 launch/slurm_array.sh configs/lunar_lander.py --config.members=1
#
# Each task writes outputs/array-<job>/seed-<task>; afterwards
#
#   python -m jaxmaze.compare outputs/array-<job>/seed-*/ppo/pretrained
#
# Any further arguments go to jaxmaze.train. PYTHON says which interpreter, .venv's by default.
set -euo pipefail
config=${1:?give a config file}
shift
task=${SLURM_ARRAY_TASK_ID:?run me with sbatch --array=...}
workdir="outputs/array-${SLURM_ARRAY_JOB_ID:-local}/seed-$task"
exec "${PYTHON:-.venv/bin/python}" -m jaxmaze.train --config="$config" --config.seed="$task" \
  --workdir="$workdir" "$@"
