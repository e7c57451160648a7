"""A run that is killed again and again: started by test_interrupted_runs.py as a program of its own.

It has no threads when it forks, so that each attempt costs a fork and not an interpreter. Makes
FOLDER/whole, which is not killed, and FOLDER/killed0, killed1 ... until there were KILLS kills. Each attempt
of these trains until this process kills it: after a random part of the time that a whole run takes, or as
soon as a file that is being written has reached a random size. Prints as JSON what they hit. Arguments:
KIND DATA CFG FOLDER KILLS SEED.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from darknet_py import training

UPDATES = 60
LAST_EVERY = 3
SHORTEST, LONGEST = 0.03, 0.3  # of the whole run's time, until a kill
MOST_CHAINS = 30


def train(kind: str, data: str, cfg: str, folder: Path) -> None:
    resume = any(folder.glob("*_last.state"))
    function = {
        "detector": training.train_detector,
        "classifier": training.train_classifier,
        "text": training.train_text,
    }[kind]
    scored = {} if kind == "text" else {"score": True, "score_every": 20}
    function(
        data,
        cfg,
        backup=folder,
        max_batches=UPDATES,
        last_every=LAST_EVERY,
        seed=0 if resume else 5,
        resume=resume,
        workers=1,
        threads=1,
        quiet=True,
        check=False,
        **scored,
    )


def attempt(kind: str, data: str, cfg: str, folder: Path) -> int:
    """Process number of a child that trains."""
    child = os.fork()
    if child == 0:
        try:
            train(kind, data, cfg, folder)
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
    return child


def wait_for_bytes(folder: Path, child: int, wanted: int, many: int) -> None:
    """Returns as soon as the many-th file being written has `wanted` bytes, or the child has ended."""
    seen: set[int] = set()
    while True:
        for entry in os.scandir(folder):
            if f".{child}." not in entry.name:
                continue
            try:
                info = entry.stat()
            except FileNotFoundError:
                continue
            seen.add(info.st_ino)
            if len(seen) >= many and info.st_size >= wanted:
                return
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return


def ended(child: int, folder: Path) -> bool:
    """Waits for a child; whether it has ended by itself, which must not be by an error."""
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        sys.exit(f"the run in {folder} failed")
    return code == 0


def killed(child: int, folder: Path, wanted: int, many: int, seconds: float) -> str:
    """Kills a child in mid-write if wanted, else after a time; tells what it was doing."""
    if wanted:
        wait_for_bytes(folder, child, wanted, many)
    else:
        time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    if ended(child, folder):
        return "nothing"
    left = [path.name for path in folder.iterdir() if f".{child}." in path.name]
    return f"writing {left[0].split('.')[1]}" if left else "working"


def chain(
    files: list[str], folder: Path, kills: int, whole: float, size: int, rng: random.Random
) -> list[str]:
    """One run from its start to its end, killed at most so many times. whole: seconds it takes if it is not,
    which are many on a busy machine; size: bytes of its checkpoint."""
    folder.mkdir(parents=True)
    hits: list[str] = []
    for kill in range(kills):
        wanted = rng.randrange(1, size) if kill % 2 else 0
        child = attempt(*files, folder)
        hit = killed(child, folder, wanted, rng.randint(1, 4), whole * rng.uniform(SHORTEST, LONGEST))
        if hit != "nothing":
            hits.append(hit)
        # One that was killed after its last file was in place has ended, too.
        if hit == "nothing" or any(folder.glob("*_final.weights")):
            return hits
    ended(attempt(*files, folder), folder)
    return hits


def main() -> None:
    *files, name, kills, seed = sys.argv[1:]
    rng, hits, chains = random.Random(int(seed)), list[str](), 0
    folder, started = Path(name, "whole"), time.monotonic()
    folder.mkdir(parents=True)
    ended(attempt(*files, folder), folder)
    whole, size = time.monotonic() - started, next(folder.glob("*_last.state")).stat().st_size
    # How often a write is hit is a matter of time; some must be.
    while len(hits) < int(kills) or ("writing state" not in hits and chains < MOST_CHAINS):
        most, started = min(12, max(int(kills) - len(hits), 4)), time.monotonic()
        hits += chain(files, Path(name, f"killed{chains}"), most, whole, size, rng)
        whole = min(whole, time.monotonic() - started)  # it may have been held up
        chains += 1
    print(json.dumps({hit: hits.count(hit) for hit in hits}))


if __name__ == "__main__":
    main()
