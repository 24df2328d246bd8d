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
                time: Duration::from_secs(60),
                space_bytes: 16 << 20,
                log_bytes: 1 << 20,
                ..Limits::default()
            },
        }
    }

    fn make(&self, recipe: Recipe) -> Result<(ActionResult, Fate), BuildError> {
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
            options: Options::default(),
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
    recipe.limits.time = Duration::from_secs(59);
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
    let mut recipe = Bench::recipe("while :; do cat <&- | sleep 100 & done");
    recipe.limits.processes = 32;
    let message = bench.wrong(recipe);
    assert!(message.contains("more than 32 processes"), "{message}");
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
