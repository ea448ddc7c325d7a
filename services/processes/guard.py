"""Runs one command under limits:
`guard.py MEMORY DATA FILE CPU PROCESSES INNER COMMAND ARGUMENT...`

MEMORY bytes of all its processes together, DATA of any one, FILE bytes of any one file, CPU seconds
of any one process (0: no limit), PROCESSES at a time. INNER is how many processes the sandbox puts
between this one and the program itself; 0 where there is no sandbox. No process of the command
outlives this process, and this process does not outlive its parent. It is started as a file with
`python -I -S`, and imports only what is built in: each import would cost a start some milliseconds.
"""

import os
import resource
import select
import signal
import sys
import time

# Exit codes that no command of ours has; services/processes/sandbox.py says what they mean.
TOO_MUCH_MEMORY = 90
TOO_MANY_PROCESSES = 91
TOO_MUCH_CPU = 128 + signal.SIGXCPU
WATCH_S = 0.2
SWEEP_S = 5  # a process that is stuck in the kernel for this long can't be killed
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# The API, the database and the workers come first: a command takes the cores that they leave.
NICENESS = 10
AUTOGROUP = "/proc/self/autogroup"

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38


def limit(kind: int, most: int) -> None:
    """Lower a resource limit for good; a limit that is lower already is kept."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))


def read(path: str) -> str:
    """The content of a file of /proc; empty where its process has ended."""
    try:
        with open(path) as file:  # noqa: PTH123 - pathlib takes 5 ms to import
            return file.read()
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """The children of all of a process's threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - as above
    except OSError:
        return []
    return [int(c) for t in threads for c in read(f"/proc/{pid}/task/{t}/children").split()]


def descendants(ancestor: int) -> list[int]:
    found = children(ancestor)
    for pid in found:  # grows while it is walked
        found += children(pid)
    return found


def memory_bytes(pid: int) -> int:
    """A process's memory without pages of files; pages that a fork shares count for each."""
    fields = read(f"/proc/{pid}/statm").split()
    return (int(fields[1]) - int(fields[2])) * PAGE_BYTES if fields else 0


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def stand_back() -> bool:
    """Lower the priority of this session, as sched(7) says; returns whether to try again.

    With autogroups, sessions share the cores as groups, whatever the niceness of a process in one.
    """
    if os.getpid() != os.getsid(0) or not os.path.exists(AUTOGROUP):  # noqa: PTH110 - as above
        return False
    try:
        with open(AUTOGROUP, "w") as file:  # noqa: PTH123 - as above
            file.write(str(NICENESS))
    except BlockingIOError:  # the kernel takes ten a second
        return True
    except OSError:
        return False
    return False


def sweep() -> None:
    """Kill every descendant. Orphans are included: the sandbox or this subreaper adopts them."""
    until = time.monotonic() + SWEEP_S
    while (left := descendants(os.getpid())) and time.monotonic() < until:
        for pid in left:
            send(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


class Guard:
    def __init__(self, memory: int, processes: int, inner: int, command: list[str]) -> None:
        self.memory, self.processes, self.inner = memory, processes, inner
        self.parent = os.getppid()
        os.nice(NICENESS)
        self.is_to_stand_back = stand_back()
        signal.signal(signal.SIGTERM, lambda *_: self.pass_on())
        prctl = None if inner else floor()
        self.child = os.fork()
        if not self.child:
            start(command, prctl)

    def pass_on(self) -> None:
        """Send SIGTERM to the program itself: a sandbox would end without passing it on."""
        pid = self.child
        for _ in range(self.inner):
            if not (below := children(pid)):
                return  # not started yet, or ended
            pid = below[0]
        send(pid, signal.SIGTERM)

    def run(self) -> int:
        """Return the command's exit code, or the code of the limit that it broke."""
        ended = os.pidfd_open(self.child)
        while not select.select([ended], [], [], WATCH_S)[0]:
            self.is_to_stand_back = self.is_to_stand_back and stand_back()
            if broken := self.broken():
                send(self.child, signal.SIGKILL)
                sweep()
                return broken
        _, status = os.waitpid(self.child, 0)
        sweep()
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code

    def broken(self) -> int:
        """The code of what ends the command: a limit, or the death of our parent; else 0."""
        if os.getppid() != self.parent:
            return 1
        tree = descendants(os.getpid())
        if len(tree) > self.processes:
            return TOO_MANY_PROCESSES
        return TOO_MUCH_MEMORY if sum(map(memory_bytes, tree)) > self.memory else 0


def floor():
    """Without a sandbox: forbid new privileges, and take in orphans; returns prctl."""
    import ctypes  # noqa: PLC0415 - 8 ms, and a sandbox does all this itself

    prctl = ctypes.CDLL(None).prctl
    for option in (PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS):
        if prctl(option, ctypes.c_ulong(1), 0, 0, 0):
            sys.exit("guard: the kernel refuses to forbid new privileges")
    return prctl


def start(command: list[str], prctl) -> None:
    """Become the command, in the child."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if prctl:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.execvp(command[0], command)  # noqa: S606 - that is what we are for
    except OSError as error:
        os.write(2, f"{command[0]} can't be started: {error.strerror}\n".encode())
    os._exit(127)


def end_like(code: int) -> None:
    """End as the command did: by its signal, where it was one."""
    number = code - 128
    if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGABRT,
                  signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGHUP):  # fmt: skip
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(code)


def main() -> None:
    memory, data, file, cpu, processes, inner = map(int, sys.argv[1:7])
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, file)
    limit(resource.RLIMIT_DATA, data)
    if cpu:
        limit(resource.RLIMIT_CPU, cpu + 1)  # SIGKILL, for a process that ignores SIGXCPU
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (min(cpu, hard), hard))
    end_like(Guard(memory, processes, inner, sys.argv[7:]).run())


if __name__ == "__main__":
    main()
