//! What a sandbox lets through and what not, tried from inside with this machine's own shell and
//! tools.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use nos_sandbox::{Ended, Ending, Input, Job, Limit, Limits, Sandbox, SandboxError, probe};
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::time::Duration;

/// Whether sandboxes can be made here; says so where not.
fn possible() -> bool {
    match probe() {
        Ok(()) => true,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "skipped: {error}");
            false
        }
    }
}

fn input(source: impl AsRef<Path>, target: &str) -> Input {
    Input {
        source: source.as_ref().into(),
        target: target.into(),
    }
}

/// A shell script, with the machine's programs and nothing else of it.
fn script(text: &str) -> Job {
    let machine = ["/bin", "/lib", "/lib64", "/usr"];
    Job {
        command: ["/bin/sh", "-c", text].map(String::from).into(),
        folder: "/build".into(),
        env: [(
            "PATH".to_string(),
            "/usr/bin:/bin:/usr/sbin:/sbin".to_string(),
        )]
        .into(),
        inputs: machine.map(|path| input(path, path)).into(),
        limits: Limits {
            time: Duration::from_secs(600),
            space_bytes: 64 << 20,
            ..Limits::default()
        },
        ..Job::default()
    }
}

/// What it printed, and how it ended.
fn run(job: &Job) -> (String, Ended) {
    let mut log = Vec::new();
    let ended = Sandbox::new(job).unwrap().run(&mut log).unwrap();
    (String::from_utf8_lossy(&log).into_owned(), ended)
}

/// What a script printed that must end well.
fn said(text: &str) -> String {
    let (log, ended) = run(&script(text));
    assert_eq!(ended.ending, Ending::Exited(0), "{log}");
    log
}

#[test]
fn a_command_sees_fixed_names_and_what_is_declared() {
    if !possible() {
        return;
    }
    assert_eq!(
        said(
            "id -u; id -g; cat /proc/sys/kernel/hostname 2>/dev/null; uname -n; pwd; umask; env | sort"
        ),
        "1000\n1000\nnos\n/build\n0022\nPATH=/usr/bin:/bin:/usr/sbin:/sbin\nPWD=/build\n"
    );
    let top = said("ls /; ls /dev; ls -a /build /out /tmp");
    assert_eq!(
        top.split_whitespace().collect::<Vec<_>>().join(" "),
        "bin build dev lib lib64 out proc tmp usr fd full null random shm stderr stdin stdout urandom \
         zero /build: . .. /out: . .. /tmp: . .."
    );
    // Addresses are the same in each run.
    let maps = "grep -m1 heap /proc/self/maps | cut -d- -f1";
    assert_eq!(said(maps), said(maps));
}

#[test]
fn what_it_makes_is_there_afterwards_and_its_processes_are_not() {
    if !possible() {
        return;
    }
    let marker = format!("3.{}", std::process::id());
    let text = format!("setsid sleep 10{marker} >/dev/null 2>&1 & echo made >/out/it; exit 7");
    let (_, ended) = run(&script(&text));
    assert_eq!(ended.ending, Ending::Exited(7));
    let made = ended.scratch.path().join("out/it");
    assert_eq!(std::fs::read(made).unwrap(), b"made\n");
    let alive = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|process| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&format!("10{marker}"))
        });
    assert!(!alive, "a process outlived its sandbox");
}

#[test]
fn inputs_and_the_root_cannot_be_changed() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "before").unwrap();
    let mut job = script(
        "echo x >/in/file; echo x >/in/new; rm -f /in/file; chmod 777 /in/file; mv /in/file /in/g
         ln /in/file /tmp/linked; echo x >/new; mkdir /usr/new; touch /bin/sh; rmdir /in
         cat /in/file; ls /in",
    );
    job.inputs.push(input(folder.path(), "/in"));
    let (log, _) = run(&job);
    assert!(log.ends_with("beforefile\n"), "{log}");
    assert_eq!(
        std::fs::read(folder.path().join("file")).unwrap(),
        b"before"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Each of these must fail inside, whatever the machine allows.
const ESCAPES: &[(&str, &str)] = &[
    ("host files", "ls /etc /root /home /var /sys"),
    ("the root above", "ls /../../../etc"),
    ("the old root", "cd /proc/1/root && ls etc"),
    ("the first process's files", "readlink /proc/1/fd/0"),
    ("the first process's environment", "cat /proc/1/environ"),
    (
        "the first process's memory",
        "dd if=/proc/1/mem bs=1 count=1",
    ),
    ("kernel settings", "echo 1 >/proc/sys/kernel/panic"),
    ("a process's settings", "echo 1 >/proc/self/oom_score_adj"),
    ("mounting", "mount -t tmpfs none /tmp"),
    ("mounting in a namespace of one's own", "unshare -rm true"),
    ("another user namespace", "unshare -U true"),
    ("another network", "unshare -n true"),
    ("changing root", "chroot / true"),
    ("devices", "mknod /tmp/d b 8 0"),
    (
        "the machine's devices",
        "ls /dev/sda /dev/vda /dev/kmsg /dev/mem /dev/tty",
    ),
    ("becoming root", "setpriv --reuid=0 true"),
    (
        "a set-user-id file",
        "cp /bin/true /tmp/t && chmod u+s /tmp/t",
    ),
    ("a set-group-id folder", "mkdir /tmp/g && chmod g+s /tmp/g"),
    ("extended attributes", "setfattr -n user.a -v b /tmp"),
    ("the host's name", "hostname other"),
    ("the clock", "date -s 2001-01-01"),
    (
        "a program on memory that was named",
        "cp /bin/true /dev/null/true",
    ),
];

#[test]
fn escapes_fail() {
    if !possible() {
        return;
    }
    let mut text = String::new();
    for (number, (_, attempt)) in ESCAPES.iter().enumerate() {
        text.push_str(&format!("( {attempt} ) >/dev/null 2>&1 && echo {number}\n"));
    }
    text.push_str("echo end");
    let log = said(&text);
    let worked: Vec<_> = log
        .lines()
        .filter_map(|line| line.parse::<usize>().ok())
        .map(|number| ESCAPES[number].0)
        .collect();
    assert!(
        worked.is_empty() && log.ends_with("end\n"),
        "{worked:?} worked\n{log}"
    );
}

#[test]
fn system_calls_that_reach_out_fail() {
    let python = ["/usr/bin/python3"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let (true, Some(python)) = (possible(), python) else {
        let _ = writeln!(std::io::stderr(), "skipped: no /usr/bin/python3");
        return;
    };
    // An abstract socket and a port of the machine, which must not be seen inside.
    let address = format!("nos-test-{}", std::process::id());
    let name = SocketAddr::from_abstract_name(&address).unwrap();
    let _socket = UnixListener::bind_addr(&name).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        r#"
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, wanted, action):
    try:
        got = action()
        if got == -1:
            got = -ctypes.get_errno()
    except OSError as error:
        got = -error.errno
    if got not in [-errno.__dict__[name] for name in wanted.split()]:
        print(what, 'gave', got)
def connect(family, address):
    s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(3); s.connect(address); return 0
attempt('abstract socket', 'ECONNREFUSED', lambda: connect(socket.AF_UNIX, '\0{address}'))
attempt('machine port', 'ECONNREFUSED', lambda: connect(socket.AF_INET, ('127.0.0.1', {port})))
attempt('network', 'ENETUNREACH', lambda: connect(socket.AF_INET, ('192.0.2.1', 80)))
attempt('vsock', 'EAFNOSUPPORT', lambda: connect(40, (2, 80)))
attempt('packet', 'EAFNOSUPPORT', lambda: socket.socket(17, socket.SOCK_RAW) and 0)
attempt('raw', 'EPERM', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and 0)
attempt('ptrace', 'EPERM', lambda: libc.ptrace(0, 0, 0, 0))
attempt('process_vm_readv', 'EPERM', lambda: libc.syscall(310, 1, 0, 0, 0, 0, 0))
attempt('keyctl', 'ENOSYS', lambda: libc.syscall(250, 0, -3, 0))
attempt('bpf', 'EPERM', lambda: libc.syscall(321, 0, 0, 0))
attempt('io_uring', 'EPERM', lambda: libc.syscall(425, 1, 0))
attempt('clone3', 'ENOSYS', lambda: libc.syscall(435, 0, 0))
attempt('open_by_handle', 'EPERM', lambda: libc.syscall(304, 0, 0, 0))
attempt('open_tree_attr', 'EPERM', lambda: libc.syscall(467, -100, 0, 0, 0, 0))
attempt('setxattrat', 'EOPNOTSUPP', lambda: libc.syscall(463, -100, b'/tmp', 0, b'user.a', 0, 0))
attempt('memfd_create', 'ENOSYS', lambda: libc.syscall(319, b'a', 0))
attempt('memfd_secret', 'ENOSYS', lambda: libc.syscall(447, 0))
attempt('userfaultfd', 'EPERM', lambda: libc.syscall(323, 0))
attempt('perf', 'EPERM', lambda: libc.syscall(298, 0, 0, 0, 0, 0))
attempt('setns', 'EPERM', lambda: libc.setns(0, 0))
attempt('unshare', 'EPERM', lambda: libc.unshare(0x10000000))
attempt('typing', 'EPERM', lambda: libc.ioctl(0, 0x5412, b'x'))
attempt('typing, in a wider number', 'EPERM', lambda: libc.ioctl(0, ctypes.c_ulong(0x7700005412), b'x'))
attempt('a console', 'EPERM', lambda: libc.ioctl(0, 0x541c, b'x'))
attempt('another ioctl', 'ENOTTY', lambda: libc.ioctl(0, 0x5413, b'x' * 8))
attempt('the parent\'s files', 'ENOENT EACCES EPERM', lambda: os.listdir('/proc/1/fd') and 0)
attempt('the parent\'s memory', 'ENOENT EACCES EPERM', lambda: os.open('/proc/1/mem', 0))
attempt('the machine\'s settings', 'ENOENT EACCES EPERM EROFS', lambda: os.open('/proc/sys/kernel/core_pattern', 1))
attempt('the machine\'s devices', 'ENOENT', lambda: os.listdir('/sys') and 0)
left = [fd for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and os.path.exists('/proc/self/fd/' + fd)]
if left: print('open descriptors', left)
attempt('move_mount', 'EPERM', lambda: libc.syscall(429, -100, 0, -100, 0, 0))
attempt('32-bit', 'ENOSYS', lambda: libc.syscall(0x40000000 + 39))
attempt('fchmod', 'EPERM', lambda: os.chmod('/tmp', 0o4755) or 0)
attempt('shmget', 'ENOSYS', lambda: libc.shmget(0, 4096, 0o1600))
attempt('xattr', 'EOPNOTSUPP', lambda: os.setxattr('/tmp', 'user.a', b'') or 0)
attempt('creat', 'EPERM', lambda: libc.creat(b'/tmp/x', 0o4755))
attempt('loopback', 'ECONNREFUSED', lambda: connect(socket.AF_INET, ('127.0.0.1', 9)))
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
c = socket.create_connection(s.getsockname()); c.close()
print('done')
"#,
        port = port.local_addr().unwrap().port()
    );
    let mut job = script("");
    job.command = [python, "-c", &text].map(String::from).into();
    let (log, ended) = run(&job);
    assert_eq!((log.as_str(), ended.ending), ("done\n", Ending::Exited(0)));
}

#[test]
fn too_much_of_anything_ends_it() {
    if !possible() {
        return;
    }
    let with = |text: &str, change: fn(&mut Limits)| {
        let mut job = script(text);
        change(&mut job.limits);
        run(&job).1
    };
    let ended = with("sleep 100", |limits| {
        limits.time = Duration::from_millis(200)
    });
    assert_eq!(ended.ending, Ending::Over(Limit::Time));
    let ended = with("yes", |limits| limits.log_bytes = 1 << 16);
    assert_eq!(ended.ending, Ending::Over(Limit::Log));
    let ended = with("cat /dev/zero >/out/big", |limits| {
        limits.space_bytes = 1 << 20
    });
    assert!(ended.full && ended.ending == Ending::Exited(1), "{ended:?}");
    let files = "i=0; while : >/out/$i; do i=$((i+1)); done";
    let ended = with(files, |limits| limits.space_bytes = 8 << 20);
    assert!(ended.full && ended.ending != Ending::Exited(0), "{ended:?}");
    // Many processes, each below the limit of one.
    let many = "for i in 1 2 3 4; do perl -e '$x = \"a\" x 30_000_000; sleep 100' & done; wait";
    let ended = with(many, |limits| limits.memory_bytes = 64 << 20);
    assert_eq!(ended.ending, Ending::Over(Limit::Memory));
    // Memory that processes share, which is nobody's own; without a name that the shell could read.
    let python = "/usr/bin/python3";
    if std::path::Path::new(python).exists() {
        let share = "import mmap, os, time
m = mmap.mmap(-1, 100_000_000)
os.fork()
for place in range(0, 100_000_000, 4096): m[place] = 1
time.sleep(100)";
        let mut job = script("");
        job.command = [python, "-c", share].map(String::from).into();
        job.limits.memory_bytes = 90 << 20;
        assert_eq!(run(&job).1.ending, Ending::Over(Limit::Memory));
        // Not twice, though two processes map it.
        job.command[2] = share.replace("(100)", "(1)");
        job.limits.memory_bytes = 160 << 20;
        assert_eq!(run(&job).1.ending, Ending::Exited(0));
    }
}

/// Programs that make processes without end, each in its own way; the first of them stays.
const BOMBS: &[(&str, &[&str])] = &[
    (
        "a shell's",
        &["/bin/bash", "-c", "sleep 100 & :() { :|:& }; :; wait"],
    ),
    (
        "a tight loop",
        &["/usr/bin/perl", "-e", "while (1) { fork }"],
    ),
    (
        "a line whose parents are gone",
        &[
            "/usr/bin/perl",
            "-e",
            "if (fork) { sleep 100 } while (1) { exit if fork; fork }",
        ],
    ),
];

#[test]
fn a_fork_bomb_goes_out() {
    if !possible() {
        return;
    }
    for (what, bomb) in BOMBS {
        let mut job = script("");
        job.command = bomb.iter().copied().map(String::from).collect();
        job.limits.processes = 32;
        job.limits.time = Duration::from_secs(300);
        let (log, ended) = run(&job);
        let over = Ending::Over(Limit::Processes);
        assert_eq!(ended.ending, over, "{what}: {log}");
    }
}

#[test]
fn many_at_once_do_not_wait_for_each_other() {
    if !possible() {
        return;
    }
    std::thread::scope(|scope| {
        // This one lives until the others have ended.
        let (send, wait) = std::sync::mpsc::channel::<()>();
        let long = scope.spawn(move || {
            let sandbox = Sandbox::new(&script("exit 3")).unwrap();
            wait.recv().unwrap();
            sandbox.run(&mut Vec::new()).unwrap().ending
        });
        let short: Vec<_> = (0..8)
            .map(|n| scope.spawn(move || said(&format!("echo {n}"))))
            .collect();
        for (n, thread) in short.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), format!("{n}\n"));
        }
        send.send(()).unwrap();
        assert_eq!(long.join().unwrap(), Ending::Exited(3));
    });
}

#[test]
fn jobs_that_cannot_be_are_refused() {
    if !possible() {
        return;
    }
    let refused = |job: &Job| match Sandbox::new(job) {
        Ok(sandbox) => sandbox.run(&mut Vec::new()).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let mut job = script("true");
    job.inputs.push(input("/nonexistent", "/in"));
    assert!(refused(&job).contains("the input /nonexistent cannot be reached"));
    for target in ["/in/../x", "/", "in//x", "/usr", "/usr/x", "/out"] {
        let mut job = script("true");
        job.inputs.push(input("/usr", target));
        let message = refused(&job);
        assert!(message.contains("cannot be set up"), "{target}: {message}");
    }
    let mut job = script("true");
    job.command = vec!["/bin/nothing".into()];
    assert!(refused(&job).contains("/bin/nothing cannot be started inside"));
    job.command = Vec::new();
    assert!(refused(&job).contains("there is no command"));
    let mut job = script("true");
    job.folder = "/nowhere".into();
    let error = Sandbox::new(&job).unwrap().run(&mut Vec::new());
    assert!(
        matches!(error, Err(SandboxError::Setup { .. })),
        "{error:?}"
    );
}

#[test]
fn a_log_that_cannot_be_written_ends_the_command() {
    if !possible() {
        return;
    }
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = Sandbox::new(&script("echo x; sleep 100"))
        .unwrap()
        .run(&mut Full);
    assert!(matches!(error, Err(SandboxError::Log(_))), "{error:?}");
}

/// The first second of 2036.
const CLOCK_S: i64 = 2_082_758_400;

/// A script that sees a clock that stands.
fn timed(text: &str, clock_s: i64) -> Job {
    Job {
        clock_s: Some(clock_s),
        ..script(text)
    }
}

#[test]
fn the_clock_stands_for_programs_and_files() {
    if !possible() {
        return;
    }
    let text =
        "date; date -u +%s.%N; touch new; stat -c '%X %Y %Z %W' new; ls -l --time-style=+%s new
        perl -e 'print time, \" \", (stat \"new\")[9], \"\\n\"'; env -i /usr/bin/date +%s
        bash -c 'printf \"%(%s)T\\n\" -1'; env; ls -a /etc; find new -newermt @2082758401";
    let (first, ended) = run(&timed(text, CLOCK_S));
    assert_eq!(ended.ending, Ending::Exited(0), "{first}");
    assert_eq!(
        first,
        "Tue Jan  1 00:00:00 UTC 2036\n2082758400.500000000\n\
         2082758400 2082758400 2082758400 2082758400\n\
         -rw-r--r-- 1 1000 1000 0 2082758400 new\n\
         2082758400 2082758400\n2082758400\n2082758400\n\
         PATH=/usr/bin:/bin:/usr/sbin:/sbin\nPWD=/build\n.\n..\nld.so.preload\n"
    );
    let (second, _) = run(&timed(text, CLOCK_S));
    assert_eq!(first, second);
    let (other, _) = run(&timed("date -u +%s", CLOCK_S + 12_345_678));
    assert_eq!(other, "2095104078\n");
}

#[test]
fn monotonic_clocks_begin_where_those_of_others_do() {
    let has_namespaces = Path::new("/proc/self/timens_offsets").exists();
    let has_python = Path::new("/usr/bin/python3").exists();
    if !possible() || !has_namespaces || !has_python {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no time namespaces or no python"
        );
        return;
    }
    // One hour, a little less or more: one of them lags by a tick, one is not steered.
    let ask = "import time; print([int(time.clock_gettime(c) + 300) // 600 for c in (1, 4, 6, 7)])";
    let said = said(&format!("python3 -c '{ask}'"));
    assert_eq!(said, "[6, 6, 6, 6]\n");
}

#[test]
fn files_are_ordered_by_time_and_none_is_of_the_future() {
    if !possible() {
        return;
    }
    // Real time passes between the files, and what is set by hand stays.
    let text = "touch first; sleep 0.02; touch second; sleep 0.02; cp -p first copy
        test second -nt first && echo later; test copy -nt first || echo same
        touch now; find . -name now -newer second
        touch -d @946684800 old; stat -c %Y old; touch -d @4000000000 young; stat -c %Y young
        perl -MTime::HiRes=time,utime -e 'utime time, time, \"first\"'; test first -nt second && echo set
        touch -r second first; test first -nt second || test second -nt first || echo equal
        perl -e 'for (<*>) { print \"$_ of the future\\n\" if (stat)[9] > time and !/young/ }'
        tar -cf a.tar second; mkdir x; tar -xf a.tar -C x; stat -c %Y x/second
        echo 'all: b' >Makefile; echo 'b: a; cp a b' >>Makefile; touch a; make -s; make -s; ls b
        sleep 0.02; touch a; make -n";
    let (log, ended) = run(&timed(text, CLOCK_S));
    assert_eq!(ended.ending, Ending::Exited(0), "{log}");
    assert_eq!(
        log,
        "later\nsame\n./now\n946684800\n4000000000\nset\nequal\n2082758400\nb\ncp a b\n"
    );
}

#[test]
fn waits_by_the_wall_clock_end() {
    let python = Path::new("/usr/bin/python3").exists();
    if !possible() || !python {
        let _ = writeln!(
            std::io::stderr(),
            "skipped where /usr/bin/python3 is missing"
        );
        return;
    }
    let text = r#"
import ctypes, os, threading, time
begun = time.monotonic()
libc = ctypes.CDLL(None, use_errno=True)
class Time(ctypes.Structure):
    _fields_ = [('s', ctypes.c_long), ('ns', ctypes.c_long)]
def soon():
    now = time.time_ns() + 20_000_000
    return ctypes.byref(Time(now // 10**9, now % 10**9))
space = lambda: ctypes.byref(ctypes.create_string_buffer(64))
mutex, condition, semaphore = space(), space(), space()
libc.pthread_mutex_lock(mutex)
print(libc.pthread_cond_timedwait(condition, mutex, soon()))
print(libc.pthread_mutex_timedlock(mutex, soon()))
print(libc.pthread_cond_clockwait(condition, mutex, 0, soon()))
print(libc.sem_timedwait(semaphore, soon()), ctypes.get_errno())
print(libc.clock_nanosleep(0, 1, soon(), None))
lock = threading.Lock(); lock.acquire(); print(lock.acquire(timeout=0.02))
time.sleep(0.02)
# Nothing waited for years, and nothing came back at once.
print(0.12 < time.monotonic() - begun)
before = time.time_ns()
while time.time_ns() < before + 10_000_000: pass
print(int(time.time()))
"#;
    let mut job = timed("", CLOCK_S);
    job.command = ["/usr/bin/python3", "-c", text].map(String::from).into();
    let (log, ended) = run(&job);
    assert_eq!(ended.ending, Ending::Exited(0), "{log}");
    assert_eq!(log, "110\n110\n110\n-1 110\n0\nFalse\nTrue\n2082758400\n");
}

#[test]
fn a_command_can_run_as_another_user() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", "id -u; id -g; >mine; stat -c '%u %g' mine"])
        .current_dir(folder.path());
    nos_sandbox::as_other_user(&mut command);
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert_eq!(said, "4321\n4321\n4321 4321\n");
}
