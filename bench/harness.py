"""What the benchmarks share: running nos, the store's files, virtual machines, figures.

Python's standard library only. Nothing here is part of nos; it uses nos as a user does.
"""

import json
import os
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HELLO = ROOT / "examples" / "hello"
TINY = ROOT / "examples" / "tiny"
KIB, MIB = 1 << 10, 1 << 20

MEMINFO = """#!{busybox} sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
exec {busybox} cat /proc/meminfo
"""
# How long a system is left alone before its memory is read, in seconds.
SETTLE = 5.0

# Debian packages that hold the ordinary tools of a hand-made image.
TOOLS = {
    "cpio": "cpio",
    "dpkg-deb": "dpkg",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "objcopy": "binutils",
    "sfdisk": "fdisk",
    "zstd": "zstd",
}


def need_tools(names):
    """Ends the program, naming what to install, where an ordinary tool is missing."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = sorted({TOOLS[name] for name in names if shutil.which(name) is None})
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        sys.exit(f"missing tools; first run: sudo {' '.join(command)}")
    run(command)


def run(command, **options):
    """Runs a command to its end and gives its standard output as text."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


class Nos:
    """The program under test and its store."""

    def __init__(self, program, store):
        self.program, self.store = Path(program).resolve(), Path(store).resolve()

    @staticmethod
    def add_arguments(parser):
        """The options that say which program and which store."""
        parser.add_argument(
            "--nos", metavar="FILE", default=ROOT / "target/release/nos",
            help="release build of nos [default: target/release/nos]",
        )
        parser.add_argument(
            "--store", metavar="DIR", default=os.environ.get("NOS_STORE"),
            help="a store that has built examples/hello; filled where it is not [default: NOS_STORE]",
        )

    @classmethod
    def from_arguments(cls, arguments):
        """The program and store that the options name; builds the program where it is missing."""
        if not Path(arguments.nos).exists():
            subprocess.run(["cargo", "build", "--release", "-p", "nos"], cwd=ROOT, check=True)
        store = arguments.store
        if store is None:
            data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
            store = Path(data) / "nos/store"
        return cls(arguments.nos, store)

    def command(self, *words):
        """A command line of nos with this store."""
        return [str(self.program), "--store", str(self.store), *map(str, words)]

    def __call__(self, *words):
        return run(self.command(*words))

    def build(self, spec):
        """Builds a spec and gives its description."""
        return json.loads(self("build", "--json", spec))

    def object(self, digest):
        """Where the store keeps the object of this SHA-256."""
        return self.store / "objects" / digest[:2] / digest[2:]

    def seconds(self, *words):
        """Seconds of one command that is used, from the start of its process to its end."""
        command = self.command("--quiet", "--offline", *words)
        null = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
        began = time.monotonic()
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=null)
        _, status = os.waitpid(pid, 0)
        seconds = time.monotonic() - began
        if status != 0:
            sys.exit(f"{' '.join(command)} failed")
        return seconds

    def fresh(self, packages, folder):
        """A new store in this folder that holds nothing but these packages: objects are named by
        their content, so copying the files that nos.lock names is all it takes."""
        nos = Nos(self.program, folder)
        nos("store", "ls")
        for package in packages:
            place = nos.object(package.parent.name + package.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(package, place)
        return nos

    def packages(self, spec):
        """The packages that a spec's lock pins and the store holds: name → .deb file."""
        lock = tomllib.loads((Path(spec) / "nos.lock").read_text())
        files = {name: self.object(pin["sha256"]) for name, pin in lock["packages"].items()}
        return {name: file for name, file in files.items() if file.exists()}

    def qemu(self):
        """The folder with the virtual machine's unpacked packages."""
        folders = sorted((self.store / "checkouts").glob("*/usr/bin/qemu-system-x86_64"))
        if not folders:
            self.fetch_qemu()
            folders = sorted((self.store / "checkouts").glob("*/usr/bin/qemu-system-x86_64"))
        return folders[0].parents[2]

    def fetch_qemu(self):
        """Lets `nos run` fetch its virtual machine: it does so before it boots."""
        process = subprocess.Popen(
            self.command("run", "--json", HELLO), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        process.stdout.readline()
        process.terminate()
        process.wait()


@dataclass
class Answer:
    """How long a machine took to answer, and what it was busy for."""

    seconds: float
    cpu_seconds: float
    instructions: int | None


class Machine:
    """One virtual machine, with the arguments that `nos run` gives it under emulation
    (machine/src/arguments.rs)."""

    def __init__(self, qemu, disk, folder, memory=256 * MIB, extra=()):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        firmware = qemu / "usr/share/OVMF"
        shutil.copyfile(firmware / "OVMF_VARS_4M.fd", folder / "vars")
        libraries = qemu / "usr/lib/x86_64-linux-gnu"
        command = [
            libraries / "ld-linux-x86-64.so.2", "--inhibit-cache", "--library-path", libraries,
            qemu / "usr/bin/qemu-system-x86_64",
            "-L", qemu / "usr/share/qemu", "-L", qemu / "usr/share/seabios",
            "-nodefaults", "-no-user-config", "-name", "nos", "-display", "none",
            "-machine", "q35,sata=off,smbus=off,usb=off,vmport=off",
            *machine_acceleration(extra), "-cpu", "max,la57=off",
            "-global", "apic-common.vapic=off",
            "-m", f"{memory // MIB}M", "-smp", "1",
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={firmware}/OVMF_CODE_4M.fd",
            "-drive", f"if=pflash,unit=1,format=raw,file={folder}/vars",
            "-drive", "if=none,id=disk0,format=raw,snapshot=off,readonly=off,discard=unmap,"
                      f"file={disk}",
            "-device", "virtio-blk-pci,drive=disk0,logical_block_size=512,"
                       "physical_block_size=4096,bootindex=0",
            "-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{self.port}-:80",
            "-device", "virtio-net-pci,netdev=net0,romfile=",
            "-object", "rng-builtin,id=rng0", "-device", "virtio-rng-pci,rng=rng0",
            "-no-reboot",
            "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
            "-chardev", "socket,id=monitor,path=qmp,server=on,wait=off",
            "-mon", "chardev=monitor,mode=control", *extra,
        ]
        self.counts = "-icount" in extra
        self.console = folder / "console"
        self.began = time.monotonic()
        with open(self.console, "wb") as console:
            self.process = subprocess.Popen(
                [str(word) for word in command], cwd=folder, env={},
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def first_answer(self, limit=120.0, interval=0.010):
        """Asks every `interval` seconds, each time with a new connection while the older ones wait (the
        emulated network takes a connection long before there is a guest to answer it), until one
        gives a whole `200`. `None` after `limit` seconds or where the machine ends before."""
        with Asker(self.port, "/", interval) as asker:
            while time.monotonic() - self.began < limit and self.process.poll() is None:
                if asker.ask() is not None:
                    seconds = time.monotonic() - self.began
                    return Answer(seconds, cpu_seconds(self.process.pid), self.instructions())
        return None

    def get(self, path, limit=20.0):
        """The body that one request gets."""
        end = time.monotonic() + limit
        with Asker(self.port, path, interval=1.0) as asker:
            while time.monotonic() < end:
                body = asker.ask()
                if body is not None:
                    return body.decode()
        sys.exit(f"no answer for {path}; the console is in {self.console}")

    def memory_at_rest(self, limit=120.0):
        """MiB, some seconds after the first answer, as the script of `with_meminfo` tells them:
        what `free` calls used (MemTotal - MemFree - Buffers - Cached - SReclaimable; so do busybox
        and procps 3), and what is not available (MemTotal - MemAvailable; so does procps 4), which
        also counts the kernel's reserves and the files of an initramfs.

        Asks once a second: hundreds of waiting connections, answered all at once, would leave their
        traces in the kernel's caches."""
        if self.first_answer(limit, interval=1.0) is None:
            sys.exit(f"no answer; the console is in {self.console}")
        time.sleep(SETTLE)
        text = self.get("/cgi-bin/meminfo")
        kib = {key: int(value) for key, value in re.findall(r"(\w+): +(\d+) kB", text)}
        cached = kib["Buffers"] + kib["Cached"] + kib["SReclaimable"]
        used = kib["MemTotal"] - kib["MemFree"] - cached
        return used / KIB, (kib["MemTotal"] - kib["MemAvailable"]) / KIB

    def instructions(self):
        """How many instructions the guest has run; only with `-icount`."""
        if not self.counts:
            return None
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.folder / "qmp"))
            lines = monitor.makefile("rw")
            lines.readline()
            for command in ("qmp_capabilities", "query-replay"):
                lines.write(json.dumps({"execute": command}) + "\n")
                lines.flush()
                while "return" not in (reply := json.loads(lines.readline())):
                    pass
            return reply["return"]["icount"]


def with_meminfo(site, busybox="/usr/bin/busybox"):
    """Adds a CGI script to a site that tells what the machine's memory is used for."""
    script = site / "cgi-bin/meminfo"
    script.parent.mkdir(exist_ok=True)
    script.write_text(MEMINFO.format(busybox=busybox))
    script.chmod(0o755)


def machine_acceleration(extra):
    """Counting instructions needs one thread for everything."""
    return ["-accel", "tcg,thread=single" if "-icount" in extra else "tcg,thread=multi"]


class Asker:
    """Asks one address for one page again and again."""

    def __init__(self, port, path, interval=0.010):
        self.address = ("127.0.0.1", port)
        self.request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
        self.interval, self.next = interval, 0.0
        self.selector = selectors.DefaultSelector()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def ask(self):
        """One step; gives the body when there is one."""
        now = time.monotonic()
        if now >= self.next:
            self.next = now + self.interval
            self.open()
        for key, events in self.selector.select(max(0.0, self.next - time.monotonic())):
            body = self.step(key, events)
            if body is not None:
                return body
        return None

    def open(self):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(self.address)
        self.selector.register(connection, selectors.EVENT_WRITE, bytearray())

    def step(self, key, events):
        connection, received = key.fileobj, key.data
        try:
            if events & selectors.EVENT_WRITE:
                connection.send(self.request)
                self.selector.modify(connection, selectors.EVENT_READ, received)
                return None
            part = connection.recv(1 << 16)
        except OSError:
            part = b""
        received += part
        head, found, body = bytes(received).partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        whole = len(body) >= int(length[1]) if length else not part
        if found and whole and b" 200 " in head.split(b"\r\n")[0]:
            return body
        if not part:
            self.selector.unregister(connection)
            connection.close()
        return None


def cpu_seconds(pid):
    """Processor time that a process has used: less shaken by a busy machine than the clock."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mirror():
    """The Debian mirror of this machine."""
    named = os.environ.get("NOS_DEBIAN_MIRROR")
    if named:
        return named
    listed = run(["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"])
    return next(line for line in listed.splitlines() if "security" not in line)


class Figures:
    """Values of one measure."""

    def __init__(self, values):
        self.values = list(values)
        self.median = statistics.median(self.values)

    def text(self, unit="s", digits=2):
        """Median and range."""
        low, high = min(self.values), max(self.values)
        return (f"{self.median:.{digits}f} {unit} "
                f"({low:.{digits}f}–{high:.{digits}f}, n={len(self.values)})")

    def scaled(self, scale):
        """The same in another unit."""
        return Figures(value * scale for value in self.values)


def about_machine():
    """One line that says what the figures were measured on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores ({model[1] if model else 'unknown'}), load {load}"
