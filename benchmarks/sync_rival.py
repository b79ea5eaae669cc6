"""The baseline of `sync.py`, run in an environment of its own: python sync_rival.py < lines of paths of .npz files

Needs: audio-offset-finder, which pins an old numpy: `sync.py --baseline` makes an environment.
Takes: seconds a pair.

Each file holds two sounds at 8 kHz, ``x`` and ``y``; for each a line of JSON comes back: the offset that is found, and
the seconds of processor that it took (the first one is done twice: it compiles).
"""

import json
import sys
import time

import needs

needs.check(packages=["audio_offset_finder"])

from audio_offset_finder.audio_offset_finder import find_offset_between_buffers


def main() -> None:
    first = True
    for line in sys.stdin:
        with np.load(line.strip()) as pair:
            x, y = pair["x"], pair["y"]
        if first:
            find_offset_between_buffers(x, y, 8000)
            first = False
        start = time.process_time()
        offset = float(find_offset_between_buffers(x, y, 8000)["time_offset"])
        print(json.dumps({"offset": offset, "seconds": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    main()
