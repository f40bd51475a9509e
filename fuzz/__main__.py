"""Fuzz one target: `python -m fuzz parser -max_total_time=60`.

Options go to libFuzzer, such as ``-runs=1000000`` or ``-max_total_time=60`` (seconds). What it
finds lies in ``.fuzz``; it begins with what it found before, and with ``tests/fuzz_corpus``, which
holds one small input for each way through the code and is played again by every test run.
"""

import sys
from pathlib import Path

import atheris

# What reads bytes; the rest would only slow it down.
ROOMS = ["zai_async._protocol", "zai_async._wire", "zai_async.models"]

with atheris.instrument_imports(include=ROOMS):
    from fuzz.corpus import unpack
    from fuzz.targets import TARGETS


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m fuzz {{{','.join(TARGETS)}}} [-option=value ...]")
    name = sys.argv.pop(1)
    folder = Path(".fuzz") / name
    unpack(name, folder)
    atheris.Setup([*sys.argv, str(folder), f"-artifact_prefix=.fuzz/{name}-"], TARGETS[name])
    atheris.Fuzz()


main()
