use super::*;
use crate::elf::testing::TestElf;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const LIB: &str = "usr/lib/x86_64-linux-gnu";

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn paths(texts: &[&str]) -> Vec<TreePath> {
    texts.iter().map(|text| path(text)).collect()
}

fn globs(texts: &[&str]) -> Vec<Glob> {
    texts.iter().map(|text| Glob::new(text).unwrap()).collect()
}

#[derive(Default)]
struct Image(Tree<Vec<u8>>);

impl Image {
    /// A tree with a C library, its loader and the links of a merged `/usr`.
    fn new() -> Self {
        let mut image = Self::default();
        image.library("libc.so.6", &["ld-linux-x86-64.so.2"]);
        image.library("ld-linux-x86-64.so.2", &[]);
        image.link(
            "usr/lib64/ld-linux-x86-64.so.2",
            "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        );
        image.put("usr/bin", 0o755, Kind::Directory);
        image.put("usr/sbin", 0o755, Kind::Directory);
        add_usr_merge_links(&mut image.0).unwrap();
        image
    }

    fn put(&mut self, at: &str, mode: u16, kind: Kind<Vec<u8>>) {
        let metadata = Metadata::with_mode(mode);
        let node = Node { metadata, kind };
        self.0.insert_with_parents(path(at), node).unwrap();
    }

    fn file(&mut self, at: &str, content: impl Into<Vec<u8>>) {
        self.put(at, 0o644, Kind::File(content.into()));
    }

    fn link(&mut self, at: &str, target: &str) {
        self.put(at, 0o777, Kind::Symlink(target.into()));
    }

    fn program(&mut self, at: &str, elf: &TestElf<'_>) {
        let elf = TestElf {
            interpreter: elf.interpreter.or(Some(LOADER)),
            ..elf.clone()
        };
        self.put(at, 0o755, Kind::File(elf.bytes()));
    }

    fn elf(&mut self, at: &str, elf: &TestElf<'_>) {
        self.file(at, elf.bytes());
    }

    fn library(&mut self, name: &str, needed: &[&str]) {
        let elf = TestElf {
            needed,
            soname: Some(name),
            ..TestElf::default()
        };
        self.elf(&format!("{LIB}/{name}"), &elf);
    }

    fn reach(&self, request: &Request<'_>) -> Result<Reach, TrimError> {
        reach(&self.0, request, |content| Ok(content.as_slice()))
    }

    fn run(&self, program: &str) -> Result<Reach, TrimError> {
        self.reach(&Request {
            programs: &paths(&[program]),
            ..Request::default()
        })
    }
}

fn kept(reach: &Reach) -> Vec<String> {
    reach.kept.keys().map(TreePath::to_string).collect()
}

#[test]
fn a_program_keeps_its_loader_libraries_and_the_links_to_them() {
    let mut image = Image::new();
    image.library("libz.so.1.3", &["libc.so.6"]);
    image.link(&format!("{LIB}/libz.so.1"), "libz.so.1.3");
    image.library("libunused.so.1", &["libc.so.6"]);
    let needed = &["libz.so.1", "libc.so.6"];
    image.program(
        "usr/sbin/daemon-1",
        &TestElf {
            needed,
            ..TestElf::default()
        },
    );
    image.link("usr/sbin/daemon", "/usr/sbin/daemon-1");
    image.file("usr/share/big", "x");

    let reach = image.run("/sbin/daemon").unwrap();
    assert_eq!(
        kept(&reach),
        [
            "/lib",
            "/lib64",
            "/sbin",
            "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/usr/lib/x86_64-linux-gnu/libz.so.1",
            "/usr/lib/x86_64-linux-gnu/libz.so.1.3",
            "/usr/lib64/ld-linux-x86-64.so.2",
            "/usr/sbin/daemon",
            "/usr/sbin/daemon-1",
        ]
    );
    let chain: Vec<String> = reach
        .why(&path("usr/lib/x86_64-linux-gnu/libz.so.1"))
        .iter()
        .map(|(path, reason)| format!("{path}: {reason}"))
        .collect();
    assert_eq!(
        chain,
        [
            "/usr/lib/x86_64-linux-gnu/libz.so.1: it leads to /usr/lib/x86_64-linux-gnu/libz.so.1.3",
            "/usr/lib/x86_64-linux-gnu/libz.so.1.3: /usr/sbin/daemon-1 needs libz.so.1",
            "/usr/sbin/daemon-1: a service runs it",
        ]
    );

    let mut tree = image.0.clone();
    reach.apply(&mut tree);
    assert!(tree.get(&path("usr/share")).is_none());
    assert!(tree.get(&path("usr/sbin/daemon")).is_some());
    // What was kept needs nothing more: trimming again keeps all of it.
    let again = Image(tree.clone()).run("/sbin/daemon").unwrap();
    assert_eq!(again.kept, reach.kept);
}

#[test]
fn missing_libraries_are_all_named_with_a_package() {
    let mut image = Image::new();
    image.library("libb.so.2", &["libpcre2-8.so.0"]);
    image.elf(
        "opt/hidden/libc1.so",
        &TestElf {
            soname: Some("libc1.so"),
            ..TestElf::default()
        },
    );
    image.program(
        "usr/bin/x",
        &TestElf {
            needed: &["libb.so.2", "libc1.so", "libssl.so.3"],
            ..TestElf::default()
        },
    );
    let owners = BTreeMap::from([(path(&format!("{LIB}/libb.so.2")), "libb2".to_owned())]);
    let request = Request {
        programs: &paths(&["usr/bin/x"]),
        owners: Some(&owners),
        ..Request::default()
    };
    let error = image.reach(&request).unwrap_err().to_string();
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "/usr/bin/x needs libc1.so, which is not in the image; /opt/hidden/libc1.so is there, but the loader does not look in that folder: set LD_LIBRARY_PATH = \"/opt/hidden\" for the service",
            "/usr/bin/x needs libssl.so.3, which is not in the image; add the package that has it, probably libssl3 or libssl3t64",
            "/usr/lib/x86_64-linux-gnu/libb.so.2 (package libb2) needs libpcre2-8.so.0, which is not in the image; add the package that has it, probably libpcre2-8-0 or libpcre2-8-0t64",
        ]
    );

    image.library("libssl.so.3", &[]);
    image.library("libpcre2-8.so.0", &[]);
    let found = image
        .reach(&Request {
            library_path: &paths(&["/opt/hidden"]),
            ..request
        })
        .unwrap();
    assert!(found.kept.contains_key(&path("opt/hidden/libc1.so")));
}

#[test]
fn origin_and_inherited_rpaths_are_searched() {
    let mut image = Image::new();
    image.program(
        "opt/app/bin/x",
        &TestElf {
            needed: &["libone.so"],
            rpath: Some("$ORIGIN/../lib"),
            ..TestElf::default()
        },
    );
    let two = TestElf {
        needed: &["libtwo.so"],
        soname: Some("libone.so"),
        ..TestElf::default()
    };
    image.elf("opt/app/lib/libone.so", &two);
    image.elf(
        "opt/app/lib/libtwo.so",
        &TestElf {
            soname: Some("libtwo.so"),
            ..TestElf::default()
        },
    );
    let reach = image.run("/opt/app/bin/x").unwrap();
    assert!(reach.kept.contains_key(&path("opt/app/lib/libtwo.so")));

    // A runpath serves only the file that has it.
    image.program(
        "opt/app/bin/x",
        &TestElf {
            needed: &["libone.so"],
            runpath: Some("$ORIGIN/../lib"),
            ..TestElf::default()
        },
    );
    assert!(matches!(
        image.run("/opt/app/bin/x"),
        Err(TrimError::Unsatisfied(missing)) if missing[0].name == "libtwo.so"
    ));
}

#[test]
fn libraries_of_other_machines_are_passed_over() {
    let mut image = Image::new();
    image.program(
        "usr/bin/x",
        &TestElf {
            needed: &["liba.so"],
            runpath: Some("/opt/arm"),
            ..TestElf::default()
        },
    );
    let arm = TestElf {
        machine: Some(183),
        soname: Some("liba.so"),
        ..TestElf::default()
    };
    image.elf("opt/arm/liba.so", &arm);
    assert!(matches!(
        image.run("usr/bin/x"),
        Err(TrimError::Unsatisfied(_))
    ));
    image.library("liba.so", &[]);
    let reach = image.run("usr/bin/x").unwrap();
    assert!(!reach.kept.contains_key(&path("opt/arm/liba.so")));
}

#[test]
fn scripts_keep_what_runs_them() {
    let mut image = Image::new();
    image.program("usr/bin/sh", &TestElf::default());
    image.program("usr/bin/env", &TestElf::default());
    image.put("usr/bin/tool", 0o755, Kind::File(b"#!/bin/sh\n".to_vec()));
    image.file("usr/bin/start", "#!/usr/bin/env -S tool x\n");
    let reach = image.run("/usr/bin/start").unwrap();
    for kept in ["usr/bin/env", "usr/bin/tool", "usr/bin/sh", "bin"] {
        assert!(reach.kept.contains_key(&path(kept)), "{kept}");
    }
    image.file("usr/bin/start", "#!/usr/bin/env nothing\n");
    let error = image.run("/usr/bin/start").unwrap_err().to_string();
    assert!(error.contains("needs nothing, which"), "{error}");
}

#[test]
fn globs_and_folders_keep_without_demanding() {
    let mut image = Image::new();
    image.program("usr/bin/x", &TestElf::default());
    image.library("libplug.so", &[]);
    let plugin = TestElf {
        needed: &["libplug.so", "libabsent.so"],
        ..TestElf::default()
    };
    image.elf("usr/lib/x/one.so", &plugin);
    image.file("usr/lib/x/notes.txt", "#!/not/looked/at");
    image.file("srv/www/index.html", "<p>");
    image.put("srv/www/empty", 0o755, Kind::Directory);
    image.link("srv/www/cur", "index.html");
    image.link("etc/mtab", "/proc/mounts");
    let reach = image
        .reach(&Request {
            programs: &paths(&["usr/bin/x"]),
            named: &paths(&["srv/www", "etc/mtab"]),
            keep: &globs(&["/usr/lib/x/*", "/no/such"]),
            ..Request::default()
        })
        .unwrap();
    for kept in [
        "usr/lib/x/one.so",
        "usr/lib/x/notes.txt",
        "usr/lib/x86_64-linux-gnu/libplug.so",
        "srv/www/empty",
        "srv/www/cur",
        "etc/mtab",
    ] {
        assert!(reach.kept.contains_key(&path(kept)), "{kept}");
    }
    assert_eq!(reach.missing.len(), 1);
    assert_eq!(reach.missing[0].name, "libabsent.so");
    assert_eq!(reach.unused_globs, ["/no/such"]);

    let whole = image
        .reach(&Request {
            programs: &paths(&["usr/bin/x"]),
            keep: &globs(&["/srv/"]),
            ..Request::default()
        })
        .unwrap();
    assert!(whole.kept.contains_key(&path("srv/www/index.html")));
}

#[test]
fn a_missing_program_is_named_with_others_of_its_name() {
    let mut image = Image::new();
    image.program("usr/sbin/nginx", &TestElf::default());
    assert_eq!(
        image.run("/usr/bin/nginx").unwrap_err().to_string(),
        "/usr/bin/nginx is not in the image (there is /usr/sbin/nginx); add the package or file that provides it"
    );
}

#[test]
fn known_and_declared_dlopens_are_kept() {
    let mut image = Image::new();
    image.library("libgcc_s.so.1", &[]);
    image.library("liblz4.so.1", &[]);
    image.library("libzstd.so.1", &[]);
    image.library("libpam.so.0", &[]);
    image.library("libnss_systemd.so.2", &[]);
    image.file(
        "etc/nsswitch.conf",
        "passwd: files systemd # x\nhosts: dns\n",
    );
    image.file(&format!("{LIB}/security/pam_unix.so"), "");
    let notes = r#"[{"soname":["libnone.so","liblz4.so.1"],"description":"fast logs"},
        {"soname":["libzstd.so.1"],"priority":"suggested"}]"#;
    image.program(
        "usr/bin/x",
        &TestElf {
            needed: &["libpam.so.0"],
            imports: &["pthread_exit"],
            dlopen: Some(notes),
            ..TestElf::default()
        },
    );
    let reach = image
        .reach(&Request {
            programs: &paths(&["usr/bin/x"]),
            named: &paths(&["etc/nsswitch.conf"]),
            ..Request::default()
        })
        .unwrap();
    let why = |name: &str| reach.kept.get(&path(&format!("{LIB}/{name}")));
    assert!(matches!(why("libgcc_s.so.1"), Some(Reason::Known { .. })));
    assert!(matches!(
        why("security/pam_unix.so"),
        Some(Reason::Known { .. })
    ));
    assert!(matches!(
        why("libnss_systemd.so.2"),
        Some(Reason::Known { .. })
    ));
    assert!(matches!(why("liblz4.so.1"), Some(Reason::Dlopen { .. })));
    assert_eq!(why("libzstd.so.1"), None);
}

#[test]
fn licences_follow_their_files() {
    let mut image = Image::new();
    image.program("usr/bin/x", &TestElf::default());
    image.file("usr/share/doc/x-common/copyright", "MIT");
    image.link("usr/share/doc/x", "x-common");
    image.file("usr/share/doc/y/copyright", "GPL");
    let owners = BTreeMap::from([
        (path("usr/bin/x"), "x".to_owned()),
        (path("usr/bin/y"), "y".to_owned()),
    ]);
    let reach = image
        .reach(&Request {
            programs: &paths(&["usr/bin/x"]),
            owners: Some(&owners),
            ..Request::default()
        })
        .unwrap();
    let at = path("usr/share/doc/x-common/copyright");
    assert_eq!(
        reach.kept[&at].to_string(),
        "it is the licence of x, of which /usr/bin/x stays"
    );
    assert!(reach.kept.contains_key(&path("usr/share/doc/x")));
    assert!(!kept(&reach).iter().any(|p| p.contains("doc/y")));
}

#[test]
fn hard_links_keep_their_target() {
    let mut image = Image::new();
    image.program("usr/bin/real", &TestElf::default());
    image.put("usr/bin/alias", 0o755, Kind::HardLink(path("usr/bin/real")));
    let reach = image.run("/usr/bin/alias").unwrap();
    let mut tree = image.0;
    reach.apply(&mut tree);
    tree.check_links().unwrap();
    assert!(tree.get(&path("lib64")).is_some());
}

#[test]
fn damaged_programs_are_errors_and_damaged_extras_are_not() {
    let mut image = Image::new();
    let mut broken = TestElf {
        needed: &["libc.so.6"],
        interpreter: Some(LOADER),
        ..TestElf::default()
    }
    .bytes();
    broken.truncate(100);
    image.put("usr/bin/x", 0o755, Kind::File(broken));
    let error = image.run("usr/bin/x").unwrap_err().to_string();
    assert!(
        error.starts_with("/usr/bin/x: its program header table"),
        "{error}"
    );
    let extra = Request {
        keep: &globs(&["/usr/bin/*"]),
        ..Request::default()
    };
    assert_eq!(image.reach(&extra).unwrap().kept.len(), 1);
}

#[test]
fn every_known_glob_reads() {
    for row in known::KNOWN {
        assert!(!row.why.is_empty());
        let (globs, but): (&[&str], &[&str]) = match row.adds {
            known::Adds::Paths(globs) => (globs, &[]),
            known::Adds::PathsBut(globs, but) => (globs, but),
            known::Adds::Library(_) => continue,
        };
        for glob in globs.iter().chain(but) {
            Glob::new(glob).unwrap();
        }
        if let known::Trigger::Program(glob) = row.trigger {
            Glob::new(glob).unwrap();
        }
    }
}

/// The machine's own loader is the oracle: `ld.so --list PROGRAM` and we must agree.
#[test]
fn the_machines_loader_finds_the_same_libraries() {
    let loader = Path::new(LOADER);
    let multiarch = Path::new("/usr/lib/x86_64-linux-gnu");
    if !loader.exists() || !multiarch.join("libc.so.6").exists() {
        eprintln!("skipped: this machine is not Debian's amd64 layout");
        return;
    }
    let mut tree = Tree::<PathBuf>::new();
    let own = std::env::current_exe().unwrap();
    let programs = [
        own.as_path(),
        Path::new("/usr/bin/env"),
        Path::new("/usr/bin/bash"),
        Path::new("/usr/bin/git"),
        Path::new("/usr/bin/openssl"),
        Path::new("/usr/bin/perl"),
    ];
    for folder in ["/lib64", "/usr/lib64", "/lib/x86_64-linux-gnu"] {
        add_folder(&mut tree, Path::new(folder));
    }
    add_folder(&mut tree, multiarch);
    for program in programs.iter().filter(|p| p.exists()) {
        add(&mut tree, program);
        let output = std::process::Command::new(loader)
            .args(["--inhibit-cache", "--list"])
            .arg(program)
            .env_clear()
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        if !output.status.success() || text.contains("not found") {
            eprintln!("skipped {}: it needs the loader's cache", program.display());
            continue;
        }
        let mut expected: Vec<PathBuf> = text
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
            .map(|word| std::fs::canonicalize(word).unwrap())
            .collect();
        expected.push(std::fs::canonicalize(program).unwrap());
        expected.sort();
        expected.dedup();

        let request = Request {
            programs: &[path(program.to_str().unwrap())],
            ..Request::default()
        };
        let reach = reach(&tree, &request, std::fs::File::open).unwrap();
        let mut got: Vec<PathBuf> = reach
            .kept
            .iter()
            .filter(|(_, reason)| !matches!(reason, Reason::LeadsTo(_) | Reason::Known { .. }))
            .filter(|(_, reason)| !matches!(reason, Reason::Dlopen { .. } | Reason::NamedBy(_)))
            .map(|(path, _)| std::fs::canonicalize(path.to_string()).unwrap())
            .collect();
        got.sort();
        got.dedup();
        // What was only opened by a known row may need more of its own; the loader's list is
        // what must be there.
        for library in &expected {
            assert!(got.contains(library), "{}: {library:?}", program.display());
        }
        if !reach
            .kept
            .values()
            .any(|r| matches!(r, Reason::Known { .. } | Reason::NamedBy(_)))
        {
            assert_eq!(got, expected, "{}", program.display());
        }
    }
}

fn add(tree: &mut Tree<PathBuf>, file: &Path) {
    let meta = file.symlink_metadata().unwrap();
    let kind = if meta.is_symlink() {
        let target = std::fs::read_link(file).unwrap();
        Kind::Symlink(target.into_os_string().into_encoded_bytes())
    } else if meta.is_dir() {
        Kind::Directory
    } else {
        Kind::File(file.to_path_buf())
    };
    let metadata = Metadata::with_mode(0o755);
    let at = path(file.to_str().unwrap());
    if tree.get(&at).is_none() {
        tree.insert_with_parents(at, Node { metadata, kind })
            .unwrap();
    }
}

/// A folder's files and links, not its folders. Where it is itself reached by a link, the link.
fn add_folder(tree: &mut Tree<PathBuf>, folder: &Path) {
    for part in folder.ancestors().collect::<Vec<_>>().into_iter().rev() {
        if part.is_symlink() {
            return add(tree, part);
        }
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let file = entry.unwrap().path();
        if !file.is_dir() {
            add(tree, &file);
        }
    }
}

/// With `NOS_TEST_IMAGE` naming a folder of unpacked packages that has nginx, the loader of those
/// packages is the oracle.
#[test]
fn a_real_image() {
    let Some(folder) = std::env::var_os("NOS_TEST_IMAGE").map(PathBuf::from) else {
        eprintln!("skipped: NOS_TEST_IMAGE names no folder of unpacked packages");
        return;
    };
    let mut tree = Tree::<PathBuf>::new();
    let mut open = vec![folder.clone()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let file = entry.unwrap().path();
            let inside = file.strip_prefix(&folder).unwrap();
            let mut part = Tree::new();
            add(&mut part, &file);
            let node = part.get(&path(file.to_str().unwrap())).unwrap().clone();
            tree.insert_with_parents(path(inside.to_str().unwrap()), node)
                .unwrap();
            if file.is_dir() && !file.is_symlink() {
                open.push(file);
            }
        }
    }
    add_usr_merge_links(&mut tree).unwrap();
    let program = paths(&["usr/sbin/nginx"]);
    let request = Request {
        programs: &program,
        ..Request::default()
    };
    let start = std::time::Instant::now();
    let reach = reach(&tree, &request, std::fs::File::open).unwrap();
    let took = start.elapsed();
    let libraries = folder.join(LIB);
    let output = std::process::Command::new(libraries.join("ld-linux-x86-64.so.2"))
        .args(["--inhibit-cache", "--list", "--library-path"])
        .args([&libraries, &folder.join("usr/sbin/nginx")])
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let listed = text.split_whitespace().filter(|word| word.contains(".so"));
    for library in listed.filter(|word| word.starts_with('/')) {
        let name = library.rsplit('/').next().unwrap();
        assert!(kept(&reach).iter().any(|p| p.ends_with(name)), "{library}");
    }
    for (path, reason) in &reach.kept {
        eprintln!("{path}: {reason}");
    }
    eprintln!("{} of {} paths in {took:?}", reach.kept.len(), tree.len());
}

fn commands(texts: &[&[&str]]) -> Vec<Vec<String>> {
    let words = |words: &&[&str]| words.iter().map(ToString::to_string).collect();
    texts.iter().map(words).collect()
}

#[test]
fn what_a_command_and_its_configuration_name_stays() {
    let mut image = Image::new();
    image.program("usr/sbin/daemon", &TestElf::default());
    image.file(
        "etc/daemon.conf",
        "include /etc/daemon.d/*.conf;\n# /usr/share/comment\nplugin=/usr/lib/daemon/a.so\n\
         root /usr/share/pages/;\nbase /usr/share\n",
    );
    image.file("usr/share/pages/index", "");
    image.file("etc/daemon.d/one.conf", "types /usr/share/types;");
    image.file("etc/daemon.d/other", "");
    image.library("libplug.so.1", &[]);
    image.elf(
        "usr/lib/daemon/a.so",
        &TestElf {
            needed: &["libplug.so.1", "libgone.so.1"],
            ..TestElf::default()
        },
    );
    image.file("usr/share/types", "");
    image.file("usr/share/comment", "");
    image.file("usr/share/site/page", "");
    image.file("usr/share/Europe/other", "");
    image.file("usr/share/zoneinfo/Europe/Berlin", "");
    image.file("usr/share/zoneinfo/Europe/Paris", "");
    image.file("usr/lib/locale/de_DE.utf8/LC_TIME", "");
    let run: &[&str] = &[
        "/usr/sbin/daemon",
        "--conf=/etc/daemon.conf",
        "/usr/share/site",
    ];
    let environment = [
        ("TZ", "Europe/Berlin"),
        ("LC_ALL", "de_DE.UTF-8"),
        ("PATH", "/usr/bin"),
    ];
    let environment = environment.map(|(name, value)| (name.to_string(), value.to_string()));
    let reach = image
        .reach(&Request {
            programs: &paths(&[run[0]]),
            named: &paths(&["etc/daemon.conf"]),
            commands: &commands(&[run]),
            environment: &environment,
            ..Request::default()
        })
        .unwrap();
    let kept = kept(&reach);
    for stays in [
        "/etc/daemon.conf",
        "/etc/daemon.d/one.conf",
        "/usr/share/types",
        "/usr/share/site/page",
        "/usr/share/pages/index",
        "/usr/lib/daemon/a.so",
        "/usr/lib/x86_64-linux-gnu/libplug.so.1",
        "/usr/share/zoneinfo/Europe/Berlin",
        "/usr/lib/locale/de_DE.utf8/LC_TIME",
    ] {
        assert!(kept.contains(&stays.to_string()), "{stays}: {kept:#?}");
    }
    for goes in [
        "/etc/daemon.d/other",
        "/usr/share/comment",
        "/usr/share/zoneinfo/Europe/Paris",
    ] {
        assert!(!kept.contains(&goes.to_string()), "{goes}: {kept:#?}");
    }
    let why = reach.why(&path("usr/share/types"));
    let why: Vec<_> = why
        .iter()
        .map(|(path, reason)| format!("{path}: {reason}"))
        .collect();
    assert_eq!(
        why,
        [
            "/usr/share/types: /etc/daemon.d/one.conf names it",
            "/etc/daemon.d/one.conf: /etc/daemon.conf names it",
            "/etc/daemon.conf: the spec places it",
        ]
    );
    // A plug-in that lacks something is told of, and is no reason to refuse the image.
    assert_eq!(reach.missing.len(), 1, "{:?}", reach.missing);
}

#[test]
fn a_shell_reaches_the_programs_that_it_names() {
    let mut image = Image::new();
    for program in ["sh", "curl", "jq", "sed", "perl", "awk"] {
        image.program(&format!("usr/bin/{program}"), &TestElf::default());
    }
    image.file(
        "srv/start",
        "x=$(curl -s x | jq .) # and perl\nexec /srv/next\n",
    );
    image.put(
        "srv/next",
        0o755,
        Kind::File(b"#!/bin/sh -e\nsed s/a/b/\n".to_vec()),
    );
    let run: &[&str] = &["/bin/sh", "/srv/start"];
    let other: &[&str] = &["/usr/bin/curl", "awk"];
    let reach = image
        .reach(&Request {
            programs: &paths(&[run[0], other[0]]),
            named: &paths(&["srv/start"]),
            commands: &commands(&[run, other]),
            ..Request::default()
        })
        .unwrap();
    let kept = kept(&reach);
    for (program, stays) in [
        ("curl", true),
        ("jq", true),
        ("sed", true),
        ("perl", false),
        ("awk", false),
    ] {
        let there = kept.contains(&format!("/usr/bin/{program}"));
        assert_eq!(there, stays, "{program}: {kept:#?}");
    }
}

#[test]
fn a_program_names_its_own_helpers_and_not_everybody_s() {
    let mut image = Image::new();
    let names = "/etc/sshd_config\0/usr/lib/openssh/session\0/usr/bin/editor\0/usr/bin/own\0\
                 /usr/share/doc/sshd/README\0/var/empty\0";
    let mut sshd = TestElf {
        interpreter: Some(LOADER),
        ..TestElf::default()
    }
    .bytes();
    sshd.push(0);
    sshd.extend(names.as_bytes());
    image.put("usr/sbin/sshd", 0o755, Kind::File(sshd));
    image.file("etc/sshd_config", "");
    image.program("usr/lib/openssh/session", &TestElf::default());
    image.program("usr/bin/editor", &TestElf::default());
    image.program("usr/bin/own", &TestElf::default());
    image.file("usr/share/doc/sshd/README", "");
    image.put("var/empty", 0o755, Kind::Directory);
    let owners = [
        ("usr/sbin/sshd", "ssh"),
        ("usr/bin/own", "ssh"),
        ("usr/bin/editor", "vi"),
    ];
    let owners = owners.map(|(at, package)| (path(at), package.to_string()));
    let reach = image
        .reach(&Request {
            programs: &paths(&["usr/sbin/sshd"]),
            owners: Some(&BTreeMap::from(owners)),
            ..Request::default()
        })
        .unwrap();
    let kept = kept(&reach);
    for (at, stays) in [
        ("/etc/sshd_config", true),
        ("/usr/lib/openssh/session", true),
        ("/usr/bin/own", true),
        ("/usr/bin/editor", false),
        ("/usr/share/doc/sshd/README", false),
        ("/var/empty", true),
    ] {
        assert_eq!(kept.contains(&at.to_string()), stays, "{at}: {kept:#?}");
    }
}

#[test]
fn a_static_program_names_files_and_time_zones() {
    let mut image = Image::new();
    let mut program = TestElf::default().bytes();
    program.extend(b"mime:/etc/mime.typestext/html/usr/share/zoneinfo/UTC");
    image.put("usr/bin/server", 0o755, Kind::File(program));
    for file in [
        "etc/mime.types",
        "etc/other",
        "usr/share/zoneinfo/Europe/Berlin",
        "usr/share/zoneinfo/leapseconds",
    ] {
        image.file(file, "");
    }
    let reach = image
        .reach(&Request {
            programs: &paths(&["usr/bin/server"]),
            ..Request::default()
        })
        .unwrap();
    let kept = kept(&reach);
    for (at, stays) in [
        ("/etc/mime.types", true),
        ("/etc/other", false),
        ("/usr/share/zoneinfo/Europe/Berlin", true),
        ("/usr/share/zoneinfo/leapseconds", false),
    ] {
        assert_eq!(kept.contains(&at.to_string()), stays, "{at}: {kept:#?}");
    }
}

#[test]
fn perl_keeps_its_modules_and_no_headers() {
    let mut image = Image::new();
    let perl = TestElf {
        interpreter: Some(LOADER),
        imports: &["main"],
        ..TestElf::default()
    };
    image.program("usr/bin/perl", &perl);
    let folder = "usr/lib/x86_64-linux-gnu/perl/5.40";
    for file in [
        "Socket.pm",
        "auto/Socket/Socket.so",
        "CORE/perl.h",
        "sys/ioctl.ph",
    ] {
        image.file(&format!("{folder}/{file}"), "");
    }
    let reach = image
        .reach(&Request {
            programs: &paths(&["usr/bin/perl"]),
            ..Request::default()
        })
        .unwrap();
    let kept = kept(&reach);
    for (file, stays) in [
        ("Socket.pm", true),
        ("auto/Socket/Socket.so", true),
        ("sys/ioctl.ph", true),
        ("CORE/perl.h", false),
    ] {
        let at = format!("/{folder}/{file}");
        assert_eq!(kept.contains(&at), stays, "{at}: {kept:#?}");
    }
}

#[test]
fn what_a_language_brings_along_is_not_demanded() {
    let mut image = Image::new();
    image.program(
        "usr/bin/ruby3.3",
        &TestElf {
            needed: &["libc.so.6"],
            ..TestElf::default()
        },
    );
    image.put(
        "usr/lib/ruby/gems/exe/bundle",
        0o755,
        Kind::File(b"#!/usr/bin/env ruby\n".to_vec()),
    );
    let reach = image.run("/usr/bin/ruby3.3").unwrap();
    assert!(kept(&reach).contains(&"/usr/lib/ruby/gems/exe/bundle".to_string()));
    // Nor is it told of: nothing says that the service uses it.
    assert_eq!(reach.missing, []);
}

#[test]
fn a_program_for_a_newer_library_is_refused_with_the_place_and_the_remedy() {
    let mut image = Image::new();
    let libc = TestElf {
        needed: &["ld-linux-x86-64.so.2"],
        soname: Some("libc.so.6"),
        defines: &["libc.so.6", "GLIBC_2.2.5", "GLIBC_2.41", "GLIBC_PRIVATE"],
        ..TestElf::default()
    };
    image.elf(&format!("{LIB}/libc.so.6"), &libc);
    let program = |versions| TestElf {
        needed: &["libc.so.6"],
        versions,
        ..TestElf::default()
    };
    let fits: &[_] = &[("libc.so.6", "GLIBC_2.2.5"), ("libc.so.6", "GLIBC_2.41")];
    image.program("usr/bin/nos", &program(fits));
    image.run("/usr/bin/nos").unwrap();

    let newer: &[_] = &[("libc.so.6", "GLIBC_2.2.5"), ("libc.so.6", "GLIBC_2.42")];
    image.program("usr/bin/nos", &program(newer));
    let owner = [(path(&format!("{LIB}/libc.so.6")), "libc6".to_owned())];
    let error = image
        .reach(&Request {
            programs: &paths(&["/usr/bin/nos"]),
            owners: Some(&owner.into()),
            ..Request::default()
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "/usr/bin/nos needs GLIBC_2.42 of /usr/lib/x86_64-linux-gnu/libc.so.6 (package libc6), \
         which ends with GLIBC_2.41; use a /usr/bin/nos that was compiled on the Debian release \
         of the image or an older one, or static, or a later package with 'nos update'"
    );

    // The loader asks a library without versions for none, and musl never asks.
    image.library("libc.so.6", &["ld-linux-x86-64.so.2"]);
    image.run("/usr/bin/nos").unwrap();
    let alone = TestElf {
        needed: &[],
        ..libc
    };
    image.elf("usr/lib/libc.so.6", &alone);
    image.elf("usr/lib/ld-musl-x86_64.so.1", &TestElf::default());
    let musl = TestElf {
        interpreter: Some("/lib/ld-musl-x86_64.so.1"),
        ..program(newer)
    };
    image.program("usr/bin/nos", &musl);
    image.run("/usr/bin/nos").unwrap();
}

#[test]
fn php_has_time_zones_and_no_link_that_leads_nowhere() {
    let mut image = Image::new();
    let php = TestElf {
        needed: &["libc.so.6"],
        ..TestElf::default()
    };
    image.program("usr/sbin/php-fpm8.4", &php);
    for zone in ["Europe/Berlin", "UTC", "tzdata.zi", "posix/UTC"] {
        image.file(&format!("usr/share/zoneinfo/{zone}"), "");
    }
    image.link("usr/share/zoneinfo/localtime", "/etc/localtime");
    let reach = image
        .reach(&Request {
            programs: &paths(&["/usr/sbin/php-fpm8.4"]),
            ..Request::default()
        })
        .unwrap();
    let kept = kept(&reach);
    let zones = kept.iter().filter_map(|path| path.split_once("zoneinfo/"));
    let zones: Vec<&str> = zones.map(|(_, zone)| zone).collect();
    assert_eq!(zones, ["Europe", "Europe/Berlin", "UTC", "tzdata.zi"]);
}

#[test]
fn a_library_that_was_dropped_is_named_with_the_pattern() {
    let mut image = Image::new();
    let app = TestElf {
        needed: &["libgone.so.1"],
        ..TestElf::default()
    };
    image.program("usr/bin/app", &app);
    let dropped = [(path("usr/lib/libgone.so.1"), "/usr/lib/*".to_string())];
    let error = image
        .reach(&Request {
            programs: &paths(&["/usr/bin/app"]),
            dropped: Some(&dropped.into()),
            ..Request::default()
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "/usr/bin/app needs libgone.so.1, which is not in the image; drop = \"/usr/lib/*\" takes it out: \
         make that pattern narrower"
    );
}
