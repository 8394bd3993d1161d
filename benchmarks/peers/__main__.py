"""cellflax and its peers on the same images, machine and minutes, from scratch.

python -m benchmarks.peers TRAIN TEST OUTPUT [minutes=15] [only=stardist,cellpose,forest,cellflax] [seed=0] [cores=2]

TRAIN and TEST are folders with images/ and labels/. The peers are StarDist, Cellpose 3.1, and a random forest on
multiscale filters with cellflax's watershed. Each has an environment of its own, made in the cache folder at the first
run. All run in processes of their own, one after the other, on the same cores (device=auto, cpu or gpu). Validation
images are held out of TRAIN as cellflax does it. All are scored by `cellflax.evaluate` on TEST. OUTPUT gets peers.csv,
peers.md and a folder per peer; the same command again runs only what is not complete. cellflax='WORDS' adds words to
the training of cellflax.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping

from benchmarks.peers.data import copy_data
from benchmarks.peers.options import Options, parse
from benchmarks.peers.runs import PEERS, Peer, pinned, require_same_settings, run_peer
from benchmarks.peers.tables import table_of, write_tables
from cellflax.atomic import output_directory
from cellflax.errors import UserError
from cellflax.interruption import ending_in_one_line
from cellflax.progress import say


def main() -> None:
    words = sys.argv[1:]
    if not words or {"--help", "-h"} & set(words):
        print(__doc__)
        return
    with ending_in_one_line():
        try:
            compare(parse(words, list(PEERS)), PEERS)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)


def compare(options: Options, peers: Mapping[str, Peer]) -> None:
    """Run the peers that are not complete, and write and print the table.

    Raises:
        UserError: if the data cannot be used, or at the end, if a peer failed.
    """
    gpu = options.device != "cpu" and _has_gpu()
    if options.device == "gpu" and not gpu:
        raise UserError("device=gpu: nvidia-smi finds none here; give device=cpu")
    output_directory(options.output)
    require_same_settings(options, gpu)
    failed: list[str] = []
    with pinned(options.cores):
        data = copy_data(options)
        for name in options.only:
            try:
                run_peer(name, peers[name], options, data, gpu)
            except UserError as error:
                say(f"error: {error}")
                failed.append(name)
    table = table_of(options.output, peers)
    if len(table):
        print(write_tables(options, data, table), flush=True)
    if failed:
        raise UserError(f"{', '.join(failed)}: failed, see above; the same command runs only what is not complete")


def _has_gpu() -> bool:
    program = shutil.which("nvidia-smi")
    return program is not None and subprocess.run([program, "-L"], capture_output=True).returncode == 0


if __name__ == "__main__":
    main()
