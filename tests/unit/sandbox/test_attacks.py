"""The adversarial corpus: every item is contained, and reported as what it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rl_reason.sandbox import Execution, Job, Limits, Sandbox, Status

LIMITS = Limits(time_s=0.6, wall_s=6, memory_mib=256, output_bytes=100_000)
LIBC = "import ctypes, errno, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"

SYSTEM_CALLS = {  # x86_64 numbers by way of libc's functions or syscall()
    "ptrace": "libc.ptrace(0, 0, 0, 0)",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0)",
    "umount": "libc.umount2(b'/proc', 2)",
    "unshare": "libc.unshare(0x10000000)",
    "setns": "libc.setns(0, 0)",
    "chroot": "libc.chroot(b'/tmp')",
    "pivot_root": "libc.syscall(155, b'.', b'.')",
    "keyctl": "libc.syscall(250, 0, -3, 0)",
    "add_key": "libc.syscall(248, b'user', b'x', b'y', 1, -3)",
    "userfaultfd": "libc.syscall(323, 0)",
    "bpf": "libc.syscall(321, 0, 0, 0)",
    "kexec_load": "libc.syscall(246, 0, 0, 0, 0)",
    "init_module": "libc.syscall(175, 0, 0, 0)",
    "process_vm_readv": "libc.process_vm_readv(1, 0, 0, 0, 0, 0)",
    "process_vm_writev": "libc.process_vm_writev(1, 0, 0, 0, 0, 0)",
    "pidfd_getfd": "libc.syscall(438, 0, 0, 0)",
    "clone into a user namespace": "libc.syscall(56, 0x10000011, 0, 0, 0, 0)",
    "open_by_handle_at": "libc.syscall(304, 0, 0, 0)",
    "the 32-bit table": "libc.syscall(0x40000000 + 39)",
    "internet socket": "import socket; socket.socket()",
    "IPv6 socket": "import socket; socket.socket(socket.AF_INET6)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "vsock": "import socket; socket.socket(40, socket.SOCK_STREAM)",
    "packet socket": "import socket; socket.socket(17, socket.SOCK_RAW)",
    "kernel crypto socket": "import socket; socket.socket(38, socket.SOCK_SEQPACKET)",
    "resolver": "import socket; socket.create_connection(('example.org', 80), 1)",
}

REFUSED = {
    "io_uring": "assert libc.syscall(425, 8, ctypes.create_string_buffer(120)) == -1; print(ctypes.get_errno())",
    "perf": "assert libc.syscall(298, ctypes.create_string_buffer(128), 0, -1, -1, 0) == -1; print(ctypes.get_errno())",
    "memory file": "assert libc.memfd_create(b'x', 0) == -1; print(ctypes.get_errno())",
    "shared memory segment": "assert libc.shmget(0, 1 << 30, 0o1600) == -1; print(ctypes.get_errno())",
    "session": "assert libc.setsid() == -1; print(ctypes.get_errno())",
    "processor": "assert libc.sched_setaffinity(0, 8, (1).to_bytes(8, 'little')) == -1; print(ctypes.get_errno())",
    "setuid": "assert libc.setuid(0) == -1; print(ctypes.get_errno())",
    "setgroups": "assert libc.setgroups(0, 0) == -1; print(ctypes.get_errno())",
    "its server's limits": "assert libc.prlimit(1, 7, (b'\\0' * 16), None) == -1; print(ctypes.get_errno())",
    "its server's priority": "assert libc.setpriority(0, 1, 19) == -1; print(ctypes.get_errno())",
    "all of its user's priorities": "assert libc.setpriority(2, 0, 19) == -1; print(ctypes.get_errno())",
    "its server's input": "assert libc.syscall(251, 1, 1, 0x6000) == -1; print(ctypes.get_errno())",
    "kill everybody": "assert libc.kill(-1, 9) == -1; print(ctypes.get_errno())",
}

CONTAINED = {
    "host's files": "places = ('/work', '/etc/shadow', '/etc/hostname', '/sys', '/home', '/var', '/boot')\n"
    "print([p for p in places if os.path.exists(p)])",
    "writing outside": "for p in ('/x', '/usr/x', '/etc/x', '/dev/x', '/proc/sys/kernel/hostname', '/bin/x'):\n"
    "    try: open(p, 'w'); print('wrote', p)\n    except OSError: pass\nprint([])",
    "symbolic link": "os.symlink('/etc/shadow', 'a'); os.symlink('/proc/1/root', 'b')\n"
    "for p in ('a', 'b/etc/shadow', '/proc/1/cwd', '/proc/1/environ', '/proc/1/mem', '/proc/1/fd'):\n"
    "    try: (os.listdir if p.endswith('fd') else open)(p); print('read', p)\n    except OSError: pass\nprint([])",
    "hard link": "try: os.link('/usr/bin/env', 'c'); print('linked')\nexcept OSError: print([])",
    "device": "try: os.mknod('d', 0o600 | 0o020000, os.makedev(1, 3)); print('made')\nexcept OSError: print([])",
    "other processes": "print([p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())])",
    "init's signals": "for s in range(1, 65):\n    try: os.kill(1, s)\n    except OSError: pass\nprint([])",
    "signals by way of a descriptor": "import fcntl, socket\na, b = socket.socketpair()\n"
    "for s in (9, 15, 19):\n    try:\n"
    "        fcntl.fcntl(a, fcntl.F_SETOWN, 1); fcntl.fcntl(a, 10, s)\n"  # F_SETSIG
    "        fcntl.fcntl(a, fcntl.F_SETFL, fcntl.fcntl(a, fcntl.F_GETFL) | os.O_ASYNC); b.send(b'x')\n"
    "    except OSError: pass\nprint([])",
    "set-user-id program": "os.execv('/bin/sh', ['sh', '-c', 'chmod u+s /tmp; echo []'])",
    "capabilities": "print([l for l in open('/proc/self/status') if l.startswith('Cap') and int(l.split()[1], 16)])",
    "environment": "known = ('HOME', 'LANG', 'PATH', 'TMPDIR', 'LC_CTYPE')\n"
    "print([k for k in os.environ if k not in known and 'PYTHON' not in k])",
    "descriptors": "print([fd for fd in range(3, 5000) if os.path.exists(f'/proc/self/fd/{fd}')])",
    "grader's modules": "import sys\nprint([m for m in sys.modules if m.startswith(('rl_reason', 'numpy', 'torch'))])",
    "its packages": "import importlib.util as u\n"
    "print([m for m in ('numpy', 'rl_reason', 'pytest') if u.find_spec(m)])",
    "own folder deleted": "os.mkdir('q'); os.chdir('q'); os.rmdir('../q'); print([])",
    "new privileges": "print([l for l in open('/proc/self/status') if l.startswith('NoNewPrivs') and '1' not in l])",
    "supplementary groups": "print([g for g in os.getgroups() if g != 1000 and g != 65534])",
}

ENDS = {
    "infinite loop": ("while True: pass", Status.TIME),
    "every signal ignored": (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\n"
        "while True: pass",
        Status.TIME,
    ),
    "stopping itself": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", Status.TIME),
    "fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", Status.TIME),
    "memory at once": ("bytearray(1 << 40)", Status.MEMORY),
    "memory slowly": ("x = []\nwhile True: x.append(b'x' * 4_000_000 + b'y')", Status.MEMORY),
    "memory of many": (
        "import os, time\nfor _ in range(3): os.fork()\nx = b'x' * 100_000_000\ntime.sleep(9)",
        Status.MEMORY,
    ),
    "huge integer": ("x = 10 ** 10 ** 9", Status.TIME),
    "huge repr": ("print('x' * 60_000_000)", Status.FLOOD),
    "stdout flood": ("while True: print('x' * 1000)", Status.FLOOD),
    "stderr flood": ("import sys\nwhile True: sys.stderr.write('x' * 1000)", Status.FLOOD),
    "recursion": ("def f(): return f()\nf()", Status.ERROR),
    "recursion in C": (
        "import sys; sys.setrecursionlimit(10 ** 9)\nclass X: pass\nX.__call__ = X()\nX()()",
        Status.ERROR,
    ),
    "killing itself": ("import os; os.kill(os.getpid(), 9)", Status.ERROR),
    "invalid memory": ("import ctypes; ctypes.string_at(0)", Status.ERROR),
    "disk": ("i = 0\nwhile True:\n    open(str(i), 'wb').write(b'x' * 1_000_000); i += 1", Status.ERROR),
    "inodes": ("i = 0\nwhile True:\n    open(str(i), 'w'); i += 1", Status.ERROR),
    "one large file": ("f = open('f', 'wb')\nwhile True: f.write(b'x' * 1_000_000)", Status.ERROR),
    "descriptors": ("import os\nx = [os.dup(0) for _ in range(10_000)]", Status.ERROR),
    "threads": (
        "import threading, time\nx = [threading.Thread(target=time.sleep, args=(9,), daemon=True) for _ in range(99)]\n"
        "for t in x: t.start()",
        Status.ERROR,
    ),
    "exit": ("import sys; sys.exit(0)", Status.OK),
    "hard exit": ("import os; os._exit(0)", Status.OK),
    "exit code": ("import sys; sys.exit(3)", Status.ERROR),
    "not Python": ("def", Status.ERROR),
    "null byte": ("a\0b", Status.ERROR),
    "lone surrogate": ("x = '\udc80'", Status.ERROR),
}


LEFT_BEHIND = {  # x86_64 numbers: 56 is clone, 129 rt_sigqueueinfo, 234 tgkill
    "a sibling": "libc.syscall(56, 0x8011, 0, 0, 0, 0) or time.sleep(30)",
    "a sibling that ends without a signal": "libc.syscall(56, 0x8000, 0, 0, 0, 0) or time.sleep(30)",
    "a child that ends by another signal": "libc.syscall(56, 9, 0, 0, 0, 0) or time.sleep(30)",
    "orphans of a reaper": "libc.prctl(36, 1)\nif os.fork() == 0: os.fork() or time.sleep(30)\nos._exit(0)",
    "stopped children": "for _ in range(5):\n    if os.fork() == 0: os.kill(os.getpid(), 19)\nos._exit(0)",
    "zombies": "for _ in range(200):\n    try: os.fork() or os._exit(0)\n    except OSError: pass\nos._exit(0)",
    "a chain of forks": "while True:\n    try:\n        if os.fork(): os._exit(0)\n    except OSError: pass",
    "a group of its own": "p = os.fork()\nif p == 0: time.sleep(30)\nos.setpgid(p, p)\nos._exit(0)",
    "signals of every kind": "for s in range(1, 65):\n    libc.syscall(234, 1, 1, s)\n"
    "    libc.syscall(129, 1, s, ctypes.create_string_buffer(128))",
    "sockets in flight": "import socket\na, b = socket.socketpair()\n"
    "socket.send_fds(a, [b'x'], [a.fileno(), b.fileno(), os.open('/tmp', 0)])",
    "a mapped file": "import mmap\nf = os.open('/tmp/m', os.O_RDWR | os.O_CREAT); os.ftruncate(f, 1 << 20)\n"
    "m = mmap.mmap(f, 1 << 20)\nif os.fork() == 0: time.sleep(30)\nos._exit(0)",
    "a process in its folder": "os.mkdir('d'); os.chdir('d')\nif os.fork() == 0: time.sleep(30)\nos._exit(0)",
    "a closed folder": "os.chmod('/tmp', 0)",
}
LOOK = (
    "import os, random, resource\nopen('/tmp/x', 'w').close()\nothers = ('1', str(os.getpid()))\n"
    "print(os.listdir('/tmp'), oct(os.stat('/tmp').st_mode), random.random(), os.listdir('/proc/self/fd'),\n"
    "      [p for p in os.listdir('/proc') if p.isdigit() and p not in others], os.getpriority(0, 0),\n"
    "      [resource.getrlimit(n) for n in range(16)], open('/proc/1/stat').read().split()[18])"
)


def run(sandbox: Sandbox, source: str, limits: Limits = LIMITS) -> Execution:
    return sandbox.run(Job({"kind": "python", "source": source}, limits=limits))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers below are those of x86_64")
@pytest.mark.parametrize("code", SYSTEM_CALLS.values(), ids=SYSTEM_CALLS.keys())
def test_a_forbidden_system_call_kills_and_is_named(sandbox: Sandbox, code: str) -> None:
    done = run(sandbox, f"{LIBC}{code}\nprint('survived')")
    assert (done.status, done.stdout) == (Status.FORBIDDEN, b""), done


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers below are those of x86_64")
@pytest.mark.parametrize("code", REFUSED.values(), ids=REFUSED.keys())
def test_what_run_times_may_try_is_refused(sandbox: Sandbox, code: str) -> None:
    done = run(sandbox, LIBC + code)
    assert done.status is Status.OK and int(done.stdout) in (1, 3, 22), done  # EPERM, ESRCH, EINVAL


@pytest.mark.parametrize("code", CONTAINED.values(), ids=CONTAINED.keys())
def test_nothing_is_reached(sandbox: Sandbox, code: str) -> None:
    done = run(sandbox, f"import os\n{code}")
    assert (done.status, done.stdout.strip()) == (Status.OK, b"[]"), done


@pytest.mark.parametrize(("code", "status"), ENDS.values(), ids=ENDS.keys())
def test_every_end_has_its_status(sandbox: Sandbox, code: str, status: Status) -> None:
    assert (done := run(sandbox, code)).status is status, done


def test_a_fork_bomb_is_bounded_by_the_number_of_processes(sandbox: Sandbox) -> None:
    source = (
        "import os, time\nmade = 0\ntry:\n    while True:\n"
        "        if os.fork() == 0: time.sleep(9)\n        made += 1\n"
        "except OSError: print(made)"
    )
    done = run(sandbox, source, Limits(processes=10))
    assert done.status is Status.OK and 8 <= int(done.stdout) <= 9, done


def test_the_grader_does_not_wait_for_daemons_that_hold_the_pipes(sandbox: Sandbox) -> None:
    source = (
        "import os, time\nif os.fork() == 0:\n    os.fork(); os.setpgid(0, 0)\n    while True: time.sleep(1)\n"
        "print('x')"
    )
    done = run(sandbox, source)
    assert (done.status, done.stdout) == (Status.OK, b"x\n") and done.seconds < 4


def test_an_attack_leaves_nothing_to_the_next_program(sandbox: Sandbox) -> None:
    spoil = (
        "import ctypes, os, random, signal, sys\nos.chmod('/tmp', 0)\nos.environ['HOME'] = '/'\nrandom.seed(7)\n"
        "sys.path.insert(0, '/tmp'); sys.modules['json'] = None\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "ctypes.CDLL(None).prctl(4, 0)\n"
        "for s in range(1, 65):\n    try: os.kill(1, s)\n    except OSError: pass"
    )
    look = (
        "import json, os, random, resource, signal, sys\nopen('/tmp/x', 'w').close()\n"
        "print(os.listdir('/tmp'), oct(os.stat('/tmp').st_mode), os.environ['HOME'], random.random(), sys.path[:1],\n"
        "      signal.getsignal(signal.SIGTERM), os.getpriority(0, 0), os.getpriority(0, 1), os.sched_getaffinity(0),\n"
        "      [resource.getrlimit(n) for n in range(16)], os.times().user < 1)"
    )
    with Sandbox() as own:  # one fork-server
        first = run(own, look)
        run(own, spoil)
        assert run(own, look).stdout == first.stdout != b""
        assert own.run(Job({"kind": "python", "source": "while True:\n    import os; os.fork()"}, limits=LIMITS))
        assert run(own, look).stdout == first.stdout


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
@pytest.mark.parametrize("code", LEFT_BEHIND.values(), ids=LEFT_BEHIND.keys())
def test_nothing_that_a_program_starts_or_leaves_meets_the_next_one(sandbox: Sandbox, code: str) -> None:
    servers, before = sandbox.server_pids, run(sandbox, LOOK)
    assert run(sandbox, f"import time\n{LIBC}{code}").seconds < 4
    assert run(sandbox, LOOK).stdout == before.stdout != b""
    assert sandbox.server_pids == servers


def test_forged_status_lines_are_output_and_no_more(sandbox: Sandbox) -> None:
    source = (
        "import os\nfor fd in range(3, 1200):\n    try: os.write(fd, b'{\"code\": 0}\\n')\n"
        "    except OSError: pass\n"
        "1/0"
    )
    assert run(sandbox, source).status is Status.ERROR


def test_two_programs_cannot_talk(sandbox: Sandbox) -> None:
    listen = (
        "import socket, time\ns = socket.socket(socket.AF_UNIX); s.bind('\\0meet'); s.listen()\n"
        "print('up', flush=True)\ntime.sleep(9)"
    )
    call = (
        "import socket, time\nend = time.monotonic() + 0.3\nwhile time.monotonic() < end:\n"
        "    s = socket.socket(socket.AF_UNIX)\n    try: s.connect('\\0meet'); print('met'); break\n"
        "    except OSError: s.close()"
    )
    other = sandbox.start(Job({"kind": "python", "source": listen}, limits=Limits(time_s=3)))
    met = run(sandbox, call)
    sandbox.stop([other])
    assert (met.status, met.stdout) == (Status.OK, b"")
    assert other.done is not None and other.done.stdout == b"up\n"


def test_a_program_sees_nothing_of_the_one_before(sandbox: Sandbox) -> None:
    secret = "the-one-before-" + "7391"
    run(sandbox, f"x = {secret!r}\nopen('/tmp/left', 'w').write(x)\nprint(x)")
    probe = (
        "import gc, os\nneedle = 'the-one-' + 'before-7391'\n"
        "found = [o for o in gc.get_objects() if needle in repr(o)[:10_000]]\n"
        "with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb') as memory:\n"
        "    for line in maps:\n        if '[heap]' in line or line.split()[-1] == '0':\n"
        "            low, high = (int(x, 16) for x in line.split()[0].split('-'))\n            memory.seek(low)\n"
        "            if 'rw' in line and b'the-one-' + b'before-7391' in memory.read(high - low): found.append(line)\n"
        "print(len([f for f in found if f is not globals()]), os.listdir('/tmp'))"
    )
    first = run(sandbox, probe.replace("7391", "0000"))
    again = run(sandbox, probe)
    assert first.status is Status.OK is again.status, (first, again)
    assert again.stdout == first.stdout and b"'left'" not in again.stdout  # what it finds is itself


@pytest.mark.parametrize(
    "left", ["os.symlink('/etc/passwd', 'artifact')", "os.mkfifo('artifact')", "os.mkdir('artifact')", "pass"]
)
def test_only_a_regular_file_is_brought_back(sandbox: Sandbox, left: str) -> None:
    done = sandbox.run(Job({"kind": "python", "source": f"import os\n{left}"}, fetch=True))
    assert done.status is Status.OK and os.fstat(done.artifact).st_size == 0
    os.close(done.artifact)


def test_neither_processes_nor_descriptors_nor_folders_are_left(sandbox: Sandbox) -> None:
    daemons = "import os, time\nif os.fork(): os._exit(0)\nfor _ in range(3): os.fork()\nopen('f', 'w')\ntime.sleep(99)"
    sources = (daemons, "pass", "1/0", "import os; os.abort()")
    jobs = [Job({"kind": "python", "source": source}, limits=LIMITS) for source in sources]
    list(sandbox.run_many(jobs, at_once=3))  # three fork-servers, which stay
    before = len(os.listdir("/proc/self/fd")), Path("/proc/self/mountinfo").read_text()
    assert len(list(sandbox.run_many(jobs * 25, at_once=3))) == 100
    assert (len(os.listdir("/proc/self/fd")), Path("/proc/self/mountinfo").read_text()) == before
    for server in sandbox.server_pids:
        (process_1,) = children_of(server)
        assert children_of(process_1) == []


def children_of(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
