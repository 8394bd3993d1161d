"""A stand-in for Slurm's programs: `sbatch` runs the jobs of an array on this machine."""

from pathlib import Path

_JOB = 77
_SBATCH = f"""#!/bin/bash
# Starts the array's jobs, one after the other, and returns at once.
cp "$1" "$FAKE_SLURM/script"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
for task in $(seq 0 "${{last:-0}}"); do
  SLURM_JOB_ID={_JOB} SLURM_ARRAY_JOB_ID={_JOB} SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 SLURM_NNODES=1 \\
    SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NODELIST=here bash "$FAKE_SLURM/script"
done > "$FAKE_SLURM/log" 2>&1 &
echo "Submitted batch job {_JOB}"
"""
_SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do  # --output and --error have a value
  [[ $1 == --output || $1 == --error ]] && shift
  shift
done
exec "$@"
"""
_SACCT = f"""#!/bin/bash
echo "JobID|State|NodeList"
for task in 0 1 2; do echo "{_JOB}_$task|RUNNING|here"; done
"""


def write_programs(folder: Path) -> None:
    """Write `sbatch`, `srun` and `sacct`; `folder/script` is then what was given to `sbatch`."""
    folder.mkdir()
    for name, text in (("sbatch", _SBATCH), ("srun", _SRUN), ("sacct", _SACCT)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
