#!/bin/bash
#SBATCH --job-name=closedbook
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1      # a launcher a machine, which starts the processes there
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300        # five minutes before the limit: a last checkpoint, see docs/many-gpus.md
#SBATCH --requeue                # and on from it, because --resume is given wherever there is one

# sbatch scripts/launch/slurm.sh scripts/pretrain.py --recipe scripts/recipes/cs224n_places_pretrain.yaml \
#     --corpus_path wiki.txt --output_dir outputs/run
# Further options of sbatch come before the name of this file and win over the lines above. GPUS=2 says how many
# processes a machine has where Slurm was asked for GPUs in another way.
set -euo pipefail

folder=""
words=("$@")
for place in "${!words[@]}"; do
    if [[ ${words[$place]} == --output_dir ]]; then folder=${words[$place + 1]}; fi
done
if [[ -n $folder ]] && compgen -G "$folder/checkpoint-*" >/dev/null && [[ " $* " != *" --resume "* ]]; then
    words+=(--resume)
fi

export GPUS=${GPUS:-${SLURM_GPUS_ON_NODE:?say GPUS=number}}
export MAIN=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export PORT=$((20000 + SLURM_JOB_ID % 20000))
srun --kill-on-bad-exit=1 bash -c 'exec accelerate launch --config_file scripts/launch/multi_node.yaml \
    --num_machines "$SLURM_NNODES" --num_processes $((SLURM_NNODES * GPUS)) --machine_rank "$SLURM_NODEID" \
    --main_process_ip "$MAIN" --main_process_port "$PORT" "$@"' launcher "${words[@]}"
