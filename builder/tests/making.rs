//! Builds in the sandbox, with this machine's own shell as the tool: what they make, and how they
//! end when they go wrong. The store must verify after each of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use nos_builder::BuildError;
use nos_builder::events::Silent;
use nos_builder::make::{Place, Recipe};
use nos_builder::plan::{Action, ActionId, Plan};
use nos_builder::realise::{Builder, Fate, Options, realise, survey};
use nos_builder::work::{Origin, Work};
use nos_sandbox::Limits;
use nos_store::{ActionResult, Store};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A folder with a root that has a shell and a source, and a store.
struct Bench {
    folder: TempDir,
    store: Store,
}

impl Bench {
    /// `None`, said aloud, where this machine cannot make sandboxes or has its shell elsewhere.
    fn new() -> Option<Self> {
        if let Err(error) = nos_sandbox::probe() {
            eprintln!("skipped: {error}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for (from, to) in [
            ("/bin/sh", "bin/sh"),
            ("/bin/mkdir", "bin/mkdir"),
            ("/bin/ln", "bin/ln"),
            ("/bin/chmod", "bin/chmod"),
            ("/bin/cat", "bin/cat"),
            ("/bin/date", "bin/date"),
            ("/bin/ls", "bin/ls"),
            ("/bin/stat", "bin/stat"),
            ("/bin/touch", "bin/touch"),
            ("/bin/uname", "bin/uname"),
            ("/usr/bin/env", "bin/env"),
            ("/usr/bin/id", "bin/id"),
            ("/usr/bin/nproc", "bin/nproc"),
            ("/usr/bin/od", "bin/od"),
            ("/lib64/ld-linux-x86-64.so.2", "lib64/ld-linux-x86-64.so.2"),
            (
                "/lib/x86_64-linux-gnu/libc.so.6",
                "lib/x86_64-linux-gnu/libc.so.6",
            ),
            (
                "/lib/x86_64-linux-gnu/libselinux.so.1",
                "lib/x86_64-linux-gnu/libselinux.so.1",
            ),
            (
                "/lib/x86_64-linux-gnu/libpcre2-8.so.0",
                "lib/x86_64-linux-gnu/libpcre2-8.so.0",
            ),
        ] {
            let to = root.join(to);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            if std::fs::copy(from, to).is_err() {
                eprintln!("skipped: this machine has no {from}");
                return None;
            }
        }
        std::fs::create_dir(folder.path().join("source")).unwrap();
        std::fs::write(folder.path().join("source/hello"), "from source\n").unwrap();
        let store = Store::options()
            .durable(false)
            .open(folder.path().join("store"))
            .unwrap();
        Some(Self { folder, store })
    }

    fn recipe(script: &str) -> Recipe {
        Recipe {
            name: "build test".into(),
            command: vec!["/bin/sh".into(), "-ec".into(), script.into()],
            folder: "/build/source".into(),
            env: BTreeMap::new(),
            places: vec![
                Place::Root,
                Place::Copy("source".into()),
                Place::At("/needs/other".into()),
            ],
            files: BTreeMap::new(),
            limits: Limits {
                time: Duration::from_secs(600),
                space_bytes: 16 << 20,
                log_bytes: 1 << 20,
                ..Limits::default()
            },
        }
    }

    fn make(&self, recipe: Recipe) -> Result<(ActionResult, Fate), BuildError> {
        self.make_by(recipe, Options::default())
    }

    fn make_by(
        &self,
        recipe: Recipe,
        options: Options<'_>,
    ) -> Result<(ActionResult, Fate), BuildError> {
        let folder = |name: &str| Action {
            label: name.into(),
            inputs: Vec::new(),
            work: Work::Source(Origin::Folder(name.into())),
        };
        let mut plan = Plan {
            actions: vec![folder("root"), folder("source"), folder("source")],
        };
        plan.actions.push(Action {
            label: recipe.name.clone(),
            inputs: plan.iter().map(|(id, _)| id).collect::<Vec<ActionId>>(),
            work: Work::Make(Box::new(recipe)),
        });
        let builder = Builder {
            store: &self.store,
            folder: self.folder.path(),
            jobs: 1,
            memory_bytes: 4 << 30,
            keep_going: false,
            observer: &Silent,
            options,
        };
        let known = survey(&builder, &plan)?;
        let all = realise(&builder, &plan, known);
        let report = self.store.verify(&Default::default(), &mut |_| ()).unwrap();
        assert_eq!(report.problems, 0, "{report:?}");
        let done = all?.remove(&plan.system()).unwrap();
        Ok((done.result, done.fate))
    }

    /// The message of a build that goes wrong.
    fn wrong(&self, recipe: Recipe) -> String {
        let message = self.make(recipe).unwrap_err().to_string();
        message.replace(&self.folder.path().display().to_string(), "…")
    }

    fn read(&self, result: &ActionResult, path: &str) -> String {
        let tree = self.store.read_tree(&result.tree("tree").unwrap()).unwrap();
        let path = nos_formats::tree::TreePath::new(path).unwrap();
        match &tree.get(&path).unwrap().kind {
            nos_formats::tree::Kind::File(blob) => {
                String::from_utf8(self.store.read_object(&blob.digest).unwrap()).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_build_leaves_in_out_becomes_a_tree_that_depends_on_nothing_else() {
    let Some(bench) = Bench::new() else { return };
    let script = "cat hello /needs/other/hello >$out/a; mkdir -p $out/d; ln -s ../a $out/d/l
        chmod 0500 $out/d; chmod 0001 $out/a; echo x >hello; echo $SOURCE_DATE_EPOCH >$out/t";
    let (result, fate) = bench.make(Bench::recipe(script)).unwrap();
    assert_eq!(fate, Fate::Built);
    assert_eq!(bench.read(&result, "a"), "from source\nfrom source\n");
    assert_eq!(bench.read(&result, "t"), "315532800\n");
    let tree = bench
        .store
        .read_tree(&result.tree("tree").unwrap())
        .unwrap();
    let modes: Vec<_> = tree
        .iter()
        .map(|(path, node)| format!("{path} {:o} {}", node.metadata.mode, node.metadata.uid))
        .collect();
    assert_eq!(
        modes,
        ["/ 755 0", "/a 755 0", "/d 755 0", "/d/l 777 0", "/t 644 0"]
    );
    // The same again is not run again, also with other limits.
    let mut recipe = Bench::recipe(script);
    recipe.limits.time = Duration::from_secs(599);
    assert_eq!(bench.make(recipe).unwrap().1, Fate::Reused);
}

#[test]
fn builds_that_go_wrong_say_why_and_leave_a_sound_store() {
    let Some(bench) = Bench::new() else { return };
    let message = bench.wrong(Bench::recipe("echo one; echo two >&2; exit 3"));
    let whole = message.split_once("The whole log is ").unwrap();
    assert_eq!(
        whole.0,
        "build test: it ended with status 3; its last lines:\none\ntwo\n"
    );
    let log = whole
        .1
        .replace('…', &bench.folder.path().display().to_string());
    assert_eq!(std::fs::read_to_string(log).unwrap(), "one\ntwo\n");

    let message = bench.wrong(Bench::recipe("true"));
    assert!(message.contains("it left nothing in $out"), "{message}");
    let endless =
        "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done";
    let message = bench.wrong(Bench::recipe(endless));
    assert!(message.contains("it printed more than 1 MiB"), "{message}");
    let message = bench.wrong(Bench::recipe("cat /dev/zero >$out/big"));
    assert!(
        message.contains("its folders are full (16 MiB)"),
        "{message}"
    );
    let mut recipe = Bench::recipe("while :; do :; done");
    recipe.limits.time = Duration::from_millis(300);
    let message = bench.wrong(recipe);
    assert!(message.contains("it was ended after 0 s"), "{message}");
    let mut recipe = Bench::recipe(
        "sh -c 'kill -STOP $$' & first=$!; (while :; do sh -c 'kill -STOP $$' & done) & wait $first",
    );
    recipe.limits.processes = 32;
    let message = bench.wrong(recipe);
    assert!(
        message.contains("more than 32 processes at once"),
        "{message}"
    );
    let mut recipe = Bench::recipe("true");
    recipe.command = vec!["/bin/nothing".into()];
    let message = bench.wrong(recipe);
    assert!(
        message.contains("/bin/nothing cannot be started"),
        "{message}"
    );
}

#[test]
fn a_source_that_does_not_fit_is_refused() {
    let Some(bench) = Bench::new() else { return };
    std::fs::write(bench.folder.path().join("source/big"), vec![1; 17 << 20]).unwrap();
    let message = bench.wrong(Bench::recipe("true"));
    assert!(message.contains("do not fit into the 16 MiB"), "{message}");
    assert!(Path::new(&bench.folder.path().join("source/big")).exists());
}

/// What a build must not write down, each as a file of that name.
const DIFFERS: &[(&str, &str)] = &[
    ("clock", "date +%Y"),
    ("cores", "echo $NOS_CORES"),
    ("order", "ls -U many"),
    ("processors", "nproc"),
    ("random", "od -An -tx8 -N16 /dev/urandom"),
];

/// What is the same for every build.
const CONSTANT: &[(&str, &str)] = &[
    (
        "addresses",
        "cat /proc/self/maps | while read a b; do echo ${a%%-*}; break; done",
    ),
    ("folder", "pwd"),
    ("home", "echo $HOME $TMPDIR $PATH"),
    ("host", "uname -n"),
    ("language", "echo $LANG $LC_ALL $TZ"),
    ("mask", "umask; touch new; stat -c %a new"),
    (
        "owners",
        "stat -c '%u %g %a' / /build hello /needs/other/hello /bin/sh",
    ),
    ("process", "echo $$"),
    (
        "times",
        "stat -c %Y hello many/* /needs/other/many/* /needs/other /bin/sh",
    ),
    ("user", "id"),
];

#[test]
fn a_varied_build_shows_what_differs_between_machines_and_nothing_else() {
    let (Some(first), Some(second)) = (Bench::new(), Bench::new()) else {
        return;
    };
    let mut script = String::new();
    for (name, line) in DIFFERS.iter().chain(CONSTANT) {
        script.push_str(&format!("{{ {line}; }} >$out/{name}\n"));
    }
    let make = |bench: &Bench, vary| {
        let many = bench.folder.path().join("source/many");
        std::fs::create_dir(&many).unwrap();
        for name in ["one", "two", "three", "four", "five", "six", "seven"] {
            std::fs::write(many.join(name), name).unwrap();
        }
        let options = Options {
            vary,
            ..Options::default()
        };
        let (result, _) = bench.make_by(Bench::recipe(&script), options).unwrap();
        result
    };
    let (a, b) = (make(&first, false), make(&second, true));
    let differ = |(name, _): &&(&str, &str)| first.read(&a, name) != second.read(&b, name);
    let names = |of: &[(&'static str, &str)]| of.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let mut found: Vec<_> = DIFFERS
        .iter()
        .chain(CONSTANT)
        .filter(differ)
        .copied()
        .collect();
    // A machine with one processor cannot show a command more.
    if std::thread::available_parallelism().unwrap().get() == 1 {
        found.push(DIFFERS[3]);
        found.sort_unstable();
    }
    assert_eq!(names(&found), names(DIFFERS));
}

#[test]
fn a_sweep_takes_what_nothing_needs_and_waits_for_nobody() {
    let Some(bench) = Bench::new() else { return };
    let mut recipe = Bench::recipe("echo x >$out/x");
    let (made, _) = bench.make(recipe.clone()).unwrap();
    recipe.command[2] = "mkdir $out/d; false".into();
    let keep = Options {
        keep_failed: true,
        ..Options::default()
    };
    bench.make_by(recipe, keep).unwrap_err();
    let root = bench.store.root();
    // As killed processes leave them.
    std::fs::create_dir_all(root.join("checkouts/.part-x/root/d")).unwrap();
    std::fs::write(root.join("checkouts/.part-x/root/d/f"), "half").unwrap();
    let now = std::time::SystemTime::now();
    let sweep = |now, dry_run, gone: bool| {
        nos_builder::leftovers::sweep(&bench.store, now, dry_run, &|_| gone).unwrap()
    };
    let objects = |folder: &str| std::fs::read_dir(root.join(folder)).unwrap().count();

    // Everything but the unfinished is needed, or young.
    for dry_run in [true, false] {
        let swept = sweep(now, dry_run, false);
        assert_eq!((swept.checkouts_removed, swept.checkouts_kept), (0, 2));
        assert_eq!((swept.failed_kept, swept.logs_kept), (1, 2));
        assert_eq!((swept.unfinished_removed, swept.freed_bytes > 0), (1, true));
    }
    assert!(!root.join("checkouts/.part-x").exists());
    let swept = sweep(now, false, false);
    assert_eq!((swept.unfinished_removed, swept.freed_bytes), (0, 0));

    // Later, and without the trees. What would go is what goes.
    let later = now + Duration::from_secs(31 * 86_400);
    let would = sweep(later, true, true);
    assert_eq!((objects("failed"), objects("logs")), (1, 2));
    assert_eq!(sweep(later, false, true), would);
    assert_eq!((would.checkouts_removed, would.checkouts_kept), (2, 0));
    assert_eq!((would.failed_removed, would.logs_removed), (1, 2));
    assert_eq!((objects("failed"), objects("logs")), (0, 0));
    // The lock, and the folder of files, which is empty but for its own folders.
    assert_eq!(objects("checkouts"), 2);
    for shard in std::fs::read_dir(root.join("checkouts/files")).unwrap() {
        assert_eq!(std::fs::read_dir(shard.unwrap().path()).unwrap().count(), 0);
    }

    // The next build makes them again.
    let mut recipe = Bench::recipe("echo y >$out/x");
    recipe.name = "build again".into();
    let (again, _) = bench.make(recipe).unwrap();
    assert_ne!(made.tree("tree"), again.tree("tree"));
}

#[test]
fn builds_and_sweeps_at_once_do_not_harm_each_other() {
    let Some(bench) = Bench::new() else { return };
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let now = std::time::SystemTime::now();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                nos_builder::leftovers::sweep(&bench.store, now, false, &|_| false).unwrap();
                let other = Store::open(bench.store.root()).unwrap();
                other.gc(&Default::default(), &mut |_| ()).unwrap();
            }
        });
        for number in 0..8 {
            // Another source each time, so that each needs checkouts of its own.
            std::fs::write(
                bench.folder.path().join("source/hello"),
                format!("{number}"),
            )
            .unwrap();
            let script = "for i in 1 2 3 4 5 6 7 8 9; do cat /needs/other/hello; done >$out/x";
            let made = bench.make(Bench::recipe(script));
            let (result, _) = made.unwrap_or_else(|error| {
                over.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{error}")
            });
            assert_eq!(bench.read(&result, "x"), number.to_string().repeat(9));
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
