# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Several GPUs, TPU pods, Slurm
#
# One machine with several devices, several machines, a job that is killed, a slide that many machines share. You need
# `pip install .`; everything here runs on a CPU that plays several devices, so that you can try it before you queue.
#
# ## Devices of one machine
#
# A training uses all of them, with no flag. `batch_size` is that of all devices together, and has to divide over them; batch
# normalization has the statistics of the whole batch. So the number of devices changes the speed, and the training by no more than rounding. Here a CPU
# plays two devices:

# %% language="bash"
# cat > small.txt <<END
# --config.model=flexible_unet(variant='tiny')
# --config.data.source=synthetic(size=64,length=40)
# --config.batch_size=4
# --config.log_every=20
# --config.evaluation.every=40 steps
# END
# mapfile -t SMALL < small.txt
# XLA_FLAGS=--xla_force_host_platform_device_count=2 \
#     jaxnuc train --config=quickstart "${SMALL[@]}" --config.duration="40 steps" --workdir=runs/two > /dev/null
# jaxnuc train --config=quickstart "${SMALL[@]}" --config.duration="40 steps" --workdir=runs/one > /dev/null

# %%
import json

for run in ("one", "two"):
    lines = [json.loads(line) for line in open(f"runs/{run}/metrics.jsonl")]
    print(run, [round(line["train/loss"], 4) for line in lines if "train/loss" in line])

# %% [markdown]
# A batch that does not divide is an error that says so:

# %% language="bash"
# mapfile -t SMALL < small.txt
# XLA_FLAGS=--xla_force_host_platform_device_count=3 \
#     jaxnuc train --config=quickstart "${SMALL[@]}" --workdir=runs/three || echo "exit status $?"

# %% [markdown]
# ## Killed, and resumed
#
# SIGTERM, which Slurm and preemptible machines send, saves and exits with 143; a crash or power cut costs what came after the last
# checkpoint (`checkpoint_every`). The same command goes on, to the bit, also on another number of devices.

# %% language="bash"
# mapfile -t SMALL < small.txt
# jaxnuc train --config=quickstart "${SMALL[@]}" --config.duration="1000000 steps" --workdir=runs/killed > /dev/null &
# until [ -s runs/killed/metrics.jsonl ]; do sleep 1; done  # it has logged a step
# kill -TERM $!
# wait $! || echo "exit status $?"
# ls runs/killed/checkpoints

# %% [markdown]
# ## Several processes
#
# Each process reads its own part of the data and computes its part of each batch; the losses agree to about a thousandth here. On Slurm and on TPU pods JAX finds out who is who:
# `--config.distributed.processes=0`. Elsewhere say it:

# %% language="bash"
# mapfile -t SMALL < small.txt
# for index in 0 1; do
#   jaxnuc train --config=quickstart "${SMALL[@]}" --config.duration="40 steps" --workdir=runs/processes \
#       --config.distributed.processes=2 --config.distributed.index=$index \
#       --config.distributed.coordinator=localhost:29517 > /dev/null &
#   jobs="$jobs $!"
# done
# for job in $jobs; do wait $job; done

# %%
for run in ("one", "processes"):
    lines = [json.loads(line) for line in open(f"runs/{run}/metrics.jsonl")]
    print(f"{run:9}", [round(line["train/loss"], 4) for line in lines if "train/loss" in line])

# %% [markdown]
# ## Slurm
#
# Two nodes with four GPUs each; `--requeue` starts the job again after a preemption, and it resumes. The workdir has to be on a
# folder that all nodes share.

# %% language="bash"
# cat > train.sh <<'END'
# #!/bin/bash
# #SBATCH --nodes=2 --ntasks-per-node=4 --gpus-per-task=1 --cpus-per-task=8
# #SBATCH --time=24:00:00 --requeue --signal=TERM@120
# export JAXNUC_DATA=/shared/data
# srun jaxnuc train --config=harunet_monuseg --workdir=/shared/runs/harunet \
#     --config.distributed.processes=0 --config.data.workers=8
# END
# bash -n train.sh

# %% [markdown]
# On a TPU pod, the same command on every host: `gcloud compute tpus tpu-vm ssh NAME --worker=all --command="jaxnuc train ...
# --config.distributed.processes=0 --config.compute_dtype=bfloat16"`.
#
# ## A slide that several machines share
#
# `--shard=1/2` does the first of two parts, and writes no nuclei; once all are done, a run without `--shard` joins them and
# writes the files. They are the same as those of a single run.

# %%
from PIL import Image

from jaxnuc.data.synthetic import generate

Image.fromarray(generate(0, size=512, style="he").image).save("slide.png")

# %% language="bash"
# jaxnuc train --config=quickstart --workdir=runs/quickstart > /dev/null
# predict="jaxnuc predict --workdir=runs/quickstart --input=slide.png --format=csv --no-report --patch=256 --overlap=64 --tile=256"
# $predict --output=shared --shard=1/2
# $predict --output=shared --shard=2/2
# $predict --output=shared
# $predict --output=alone
# cmp shared/slide.csv alone/slide.csv && echo "the same to the byte"

# %% [markdown]
# As an array of Slurm jobs:
#
# ```
# #SBATCH --array=1-8
# srun jaxnuc predict --workdir=runs/a --input=slides --output=/shared/found --shard=$SLURM_ARRAY_TASK_ID/8
# ```
#
# Or give the rows of tiles to the workers of a Dask cluster, which may come and go (not run here):
# `jaxnuc predict --cluster=ADDRESS ...`, see [Images and slides](../prediction.md).
#
# Any scheduler does; where the machines share no folder, `--merge` takes the parts from others.
#
# ## What to expect
#
# - The first step compiles: half a minute for a small network, minutes for HARU-Net. Later trainings of the same network find it
#   in `~/.cache/jaxnuc/xla`; on a cluster, set `JAX_COMPILATION_CACHE_DIR` to a shared folder.
# - Many devices starve on a slow input: `jaxnuc pack` the data set, and give `data.workers`.
# - In a prediction, decoding is on the CPU. `--workers` processes per machine keep a device busy; see the table in
#   [Images and slides](../prediction.md).
# - Measured figures: [Start-up and speed](../performance.md). What a kill can and cannot do:
#   [Damage and interruption](../reliability.md).
