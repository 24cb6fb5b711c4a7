"""Run a script in several processes that are forked from one that has imported all.

Imports take seconds, and a test of processes needs many of them.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

TIMEOUT = 240


class Launcher:
    """A process that forks others; use it as a context manager."""

    def __enter__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        try:
            self._server.wait(TIMEOUT)
        finally:
            self._server.kill()
            self._server.wait()

    def run(self, folder, script, size, *words):
        """Run ``script`` with the arguments (rank, size, *words) in each process.

        Returns:
            The exit code and the errors of each process; -9 for one that had to be
            killed after the time-out.
        """
        errors = [str(Path(folder) / f"errors-{rank}") for rank in range(size)]
        case = {"script": script, "errors": errors, "words": [str(it) for it in words]}
        self._server.stdin.write(json.dumps(case) + "\n")
        self._server.stdin.flush()
        codes = json.loads(self._server.stdout.readline())
        return codes, [Path(path).read_text() for path in errors]


def serve():
    """Fork the processes of each line of the input, and print their exit codes."""
    # Imported here and not used: the forked processes have it.
    import gsparse.data
    import gsparse.distributed
    import gsparse.train  # noqa: F401

    for line in sys.stdin:
        case = json.loads(line)
        pids = [_fork(rank, case) for rank in range(len(case["errors"]))]
        print(json.dumps(_wait(pids)), flush=True)


def _fork(rank, case):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        sys.argv = ["script", str(rank), str(len(case["errors"])), *case["words"]]
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
        os.dup2(os.open(case["errors"][rank], flags), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        exec(case["script"], {"__name__": "__main__"})
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _wait(pids):
    end, codes = time.monotonic() + TIMEOUT, {}
    while len(codes) < len(pids):
        for pid in set(pids) - codes.keys():
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                codes[pid] = os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return [codes[pid] for pid in pids]


if __name__ == "__main__":
    serve()
