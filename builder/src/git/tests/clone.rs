//! Commits from git's own server.

use super::super::tree;
use super::{asked, backend, fed, has_git};
use crate::build::{Options, Session};
use crate::error::BuildError;
use crate::testing::{Reply, Request, Server, Warnings, builder};
use crate::work::Work;
use nos_formats::tree::Kind;
use nos_specs::lock::Lock;
use nos_specs::system::Git;
use nos_store::Store;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What the server does besides what git does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing.
    Plain,
    /// Knows nothing newer than version 0 of the protocol.
    Old,
    /// Sends questions below `/moved` on to the repositories.
    Moved,
    /// Ends each connection after so many bytes.
    Cut(usize),
}

/// A folder with repositories and a store.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A repository with two commits: a file each, a program, a link, a folder. Gives both.
    fn repository(&self, name: &str) -> [String; 2] {
        let work = self.path(name);
        asked(self.0.path(), &["init", "-q", name]);
        std::fs::create_dir_all(work.join("src/deep")).unwrap();
        std::fs::write(work.join("src/deep/main.c"), "int main;\r\n").unwrap();
        std::fs::write(work.join("run"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(work.join("run"), PermissionsExt::from_mode(0o755)).unwrap();
        symlink("src/deep", work.join("link")).unwrap();
        // None of this changes what a commit's files are.
        let attributes = "* text=auto eol=crlf ident export-ignore\n*.c filter=evil\n";
        std::fs::write(work.join(".gitattributes"), attributes).unwrap();
        let first = commit(&work);
        std::fs::write(work.join("second"), "2").unwrap();
        let second = commit(&work);
        [first, second]
    }

    /// Serves what is here.
    fn serve(&self, way: Way) -> Server {
        let root = self.0.path().to_owned();
        Server::start(move |request| respond(&root, way, request))
    }

    /// The files of a commit, one a line, as `nos` gets them.
    fn files(&self, wanted: &Git) -> Result<Vec<String>, String> {
        self.warned(wanted).map(|(files, _)| files)
    }

    /// The same with what was warned of.
    fn warned(&self, wanted: &Git) -> Result<(Vec<String>, Vec<String>), String> {
        let store = Store::open(self.path("store")).unwrap();
        let warnings = Warnings::default();
        let builder = builder(&store, self.0.path(), &warnings);
        let digest = tree(&builder, wanted).map_err(|error| error.to_string())?;
        let tree = store.read_tree(&digest).unwrap();
        let shown = tree.iter().map(|(path, node)| {
            let what = match &node.kind {
                Kind::File(blob) => {
                    let bytes = store.read_object(&blob.digest).unwrap();
                    format!("{:?}", String::from_utf8(bytes).unwrap())
                }
                Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
                _ => String::new(),
            };
            format!("{path} {:o} {what}", node.metadata.mode)
        });
        Ok((shown.collect(), warnings.all()))
    }
}

fn commit(work: &Path) -> String {
    asked(work, &["add", "-A"]);
    asked(work, &["commit", "-qm", "more"]);
    asked(work, &["rev-parse", "HEAD"])
}

fn wanted(url: String, commit: &str) -> Git {
    Git {
        url,
        mirrors: Vec::new(),
        commit: commit.into(),
        submodules: true,
    }
}

/// Lets `git http-backend` answer, as a web server does.
fn respond(root: &Path, way: Way, request: &Request) -> Reply {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    if let (Way::Moved, Some(rest)) = (way, path.strip_prefix("/moved")) {
        return Reply::new(302, "").with("Location", format!("{rest}?{query}"));
    }
    let mut reply = backend(root, request, way != Way::Old);
    if let (Way::Cut(bytes), "POST") = (way, request.method.as_str()) {
        reply.cut = Some(bytes);
    }
    reply
}

const FIRST: [&str; 7] = [
    "/ 755 ",
    "/.gitattributes 644 \"* text=auto eol=crlf ident export-ignore\\n*.c filter=evil\\n\"",
    "/link 777 -> src/deep",
    "/run 755 \"#!/bin/sh\\n\"",
    "/src 755 ",
    "/src/deep 755 ",
    "/src/deep/main.c 644 \"int main;\\n\"",
];

#[test]
fn a_commit_is_what_git_says_it_is() {
    if !has_git() {
        return;
    }
    let place = Place::new();
    let [first, second] = place.repository("r");
    for way in [Way::Plain, Way::Old, Way::Moved] {
        let server = place.serve(way);
        let url = match way {
            Way::Moved => server.url("/moved/r/.git/"),
            _ => server.url("/r/.git"),
        };
        // Git itself took the carriage return out when it was told of text.
        assert_eq!(
            place.files(&wanted(url.clone(), &first)).unwrap(),
            FIRST,
            "{way:?}"
        );
        let files = place.files(&wanted(url.clone(), &second)).unwrap();
        assert_eq!(files.len(), FIRST.len() + 1, "{way:?}");
        assert!(files.contains(&"/second 644 \"2\"".to_owned()), "{files:?}");
        // History was asked for only where there is no other way to the first commit.
        let deep = |request: &Request| {
            request.method == "POST" && !String::from_utf8_lossy(&request.body).contains("deepen 1")
        };
        let deep = server.requests().iter().filter(|r| deep(r)).count();
        assert_eq!(deep, usize::from(way == Way::Old), "{way:?}");
    }
    // The same from a pack with deltas.
    asked(
        &place.path("r"),
        &["gc", "-q", "--aggressive", "--prune=now"],
    );
    let server = place.serve(Way::Plain);
    assert_eq!(
        place.files(&wanted(server.url("/r/.git"), &first)).unwrap(),
        FIRST
    );
}

#[test]
fn what_is_not_there_is_said() {
    if !has_git() {
        return;
    }
    let place = Place::new();
    let [_, second] = place.repository("r");
    asked(&place.path("r"), &["tag", "-am", "one", "v1"]);
    let tag = asked(&place.path("r"), &["rev-parse", "v1"]);
    let folder = asked(&place.path("r"), &["rev-parse", "HEAD^{tree}"]);
    let none = "0123456789012345678901234567890123456789";
    for way in [Way::Plain, Way::Old] {
        let server = place.serve(way);
        let refused = |path: &str, commit: &str, reason: &str| {
            let error = place.files(&wanted(server.url(path), commit)).unwrap_err();
            assert!(error.contains(reason), "{way:?} {reason}: {error}");
        };
        refused(
            "/r/.git",
            none,
            &format!("has no commit {none}; check that it was pushed"),
        );
        refused(
            "/r/.git",
            &tag,
            &format!("is a tag and no commit, it stands for {second}; write"),
        );
        refused(
            "/no/.git",
            &second,
            "is no git repository that can be read over HTTP: there is",
        );
        if way == Way::Plain {
            refused(
                "/r/.git",
                &folder,
                "is a tree and no commit; write the commit",
            );
        }
    }
    let server = Server::start(|_| Reply::new(401, ""));
    let error = place.files(&wanted(server.url("/r"), &second)).unwrap_err();
    assert!(
        error.contains("wants a password, or there is no such"),
        "{error}"
    );
    let page = |_: &Request| Reply::new(200, "<html>").with("Content-Type", "text/html; charset=x");
    let server = Server::start(page);
    let error = place.files(&wanted(server.url("/r"), &second)).unwrap_err();
    assert!(
        error.contains("it answers with \"text/html\"; correct the address"),
        "{error}"
    );
}

#[test]
fn a_second_address_has_what_the_first_has_not() {
    if !has_git() {
        return;
    }
    let place = Place::new();
    let [first, _] = place.repository("r");
    let server = place.serve(Way::Plain);
    let mut git = wanted(server.url("/gone/.git"), &first);
    git.mirrors.push(server.url("/r/.git"));
    assert_eq!(place.files(&git).unwrap(), FIRST);
    git.mirrors = vec![server.url("/gone/too")];
    let error = place.files(&git).unwrap_err();
    assert!(
        error.contains("/gone/.git is no") && error.contains("/gone/too is no"),
        "{error}"
    );
}

#[test]
fn a_connection_that_breaks_is_asked_again_and_nothing_half_is_kept() {
    if !has_git() {
        return;
    }
    let place = Place::new();
    let [first, _] = place.repository("r");
    // Within a packet, within its length, before the first.
    for bytes in [0, 2, 60, 200] {
        let server = place.serve(Way::Cut(bytes));
        let error = place
            .files(&wanted(server.url("/r/.git"), &first))
            .unwrap_err();
        assert!(error.contains("a clone cannot be gone on with"), "{error}");
        let asked = server
            .requests()
            .iter()
            .filter(|r| r.method == "POST")
            .count();
        assert_eq!(asked, 4);
    }
}

#[test]
fn servers_that_speak_otherwise_are_refused() {
    let place = Place::new();
    let id = "0123456789012345678901234567890123456789";
    let line = |text: &str| format!("{:04x}{text}\n", text.len() + 5);
    let said = |greeting: String, answer: String| {
        let server = Server::start(move |request| match request.method.as_str() {
            "GET" => Reply::new(200, greeting.clone()).with(
                "Content-Type",
                "application/x-git-upload-pack-advertisement",
            ),
            _ => Reply::new(200, answer.clone()),
        });
        place.files(&wanted(server.url("/r"), id)).unwrap_err()
    };
    let modern = [line("version 2"), line("fetch=shallow"), "0000".into()].concat();
    let band = |number: u8, text: &str| line(&format!("{}{text}", char::from(number)));
    for (reason, greeting, answer) in [
        ("where a packet begins", "<html>".into(), String::new()),
        ("says nothing of itself", "00000000".into(), String::new()),
        (
            "among its branches",
            [line("main"), "0000".into()].concat(),
            String::new(),
        ),
        (
            "too old",
            [line(&format!("{id} HEAD\0ofs-delta")), "0000".into()].concat(),
            String::new(),
        ),
        (
            "names its objects by SHA-256",
            [
                line("version 2"),
                line("object-format=sha256"),
                "0000".into(),
            ]
            .concat(),
            String::new(),
        ),
        (
            "refuses: go away; ask",
            [line("ERR go away")].concat(),
            String::new(),
        ),
        (
            "refuses: no [31mmore; ask",
            modern.clone(),
            band(3, "no \x1b[31mmore"),
        ),
        (
            "refuses: upload-pack: x; ask",
            modern.clone(),
            line("ERR upload-pack: x"),
        ),
        (
            "the pack that came is damaged",
            modern.clone(),
            band(1, "PACK") + "0000",
        ),
    ] {
        let error = said(greeting, answer);
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn submodules_come_at_their_commits() {
    if !has_git() {
        return;
    }
    let place = Place::new();
    let [first, _] = place.repository("inner");
    asked(&place.path("inner"), &["checkout", "-q", &first]);
    asked(place.0.path(), &["init", "-q", "outer"]);
    let outer = place.path("outer");
    asked(
        &outer,
        &["submodule", "--quiet", "add", "../inner", "lib/in"],
    );
    // Where it is for whoever asks over HTTP.
    let address = "submodule.lib/in.url";
    asked(
        &outer,
        &["config", "-f", ".gitmodules", address, "../../inner/.git"],
    );
    let commit = commit(&outer);
    let server = place.serve(Way::Plain);
    let mut git = wanted(server.url("/outer/.git"), &commit);
    let files = place.files(&git).unwrap();
    assert!(
        files.contains(&"/lib/in/src/deep/main.c 644 \"int main;\\n\"".to_owned()),
        "{files:?}"
    );
    git.submodules = false;
    let (files, warnings) = place.warned(&git).unwrap();
    assert_eq!(files[1..].len(), 3, "{files:?}");
    assert!(files.contains(&"/lib/in 755 ".to_owned()));
    assert!(warnings[0].contains("submodule /lib/in of"), "{warnings:?}");
    assert!(
        warnings[0].ends_with("is left out: its folder is empty"),
        "{warnings:?}"
    );

    asked(
        &outer,
        &[
            "config",
            "-f",
            ".gitmodules",
            address,
            "git@h.example:inner",
        ],
    );
    let git = wanted(server.url("/outer/.git"), &self::commit(&outer));
    let error = place.files(&git).unwrap_err();
    assert!(
        error.contains("submodule /lib/in cannot be had: its address git@h"),
        "{error}"
    );
}

#[test]
fn stand_ins_of_large_files_are_warned_of() {
    if !has_git() {
        return;
    }
    let place = Place::new();
    asked(place.0.path(), &["init", "-q", "--bare", "r"]);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    let mut input = String::from("commit refs/heads/main\ncommitter A <a@b.c> 1 +0000\ndata 0\n");
    for (path, text) in [
        ("big.bin", pointer),
        (".gitattributes", "*.bin filter=lfs\n"),
    ] {
        input += &format!("M 644 inline {path}\ndata {}\n{text}\n", text.len());
    }
    fed(
        &place.path("r"),
        &["fast-import", "--quiet"],
        input.as_bytes(),
    );
    let head = asked(&place.path("r"), &["rev-parse", "main"]);
    let server = place.serve(Way::Plain);
    let (_, warnings) = place.warned(&wanted(server.url("/r"), &head)).unwrap();
    assert!(
        warnings[0].starts_with("/big.bin of http://"),
        "{warnings:?}"
    );
}

#[test]
fn other_files_than_those_pinned_are_refused() {
    if !has_git() {
        return;
    }
    let place = Place::new();
    let [first, _] = place.repository("r");
    let server = place.serve(Way::Plain);
    let store = Store::open(place.path("store")).unwrap();
    let warnings = Warnings::default();
    let mut builder = builder(&store, place.0.path(), &warnings);
    let git = wanted(server.url("/r/.git"), &first);
    let pin = |tree: String| nos_specs::lock::LockedCommit { tree };
    let right = tree(&builder, &git).unwrap().to_string();
    super::super::fetch(&builder, &git, &pin(right)).unwrap();
    let error = super::super::fetch(&builder, &git, &pin("0".repeat(64))).unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Git(super::super::GitError::Changed { .. })
        ),
        "{error}"
    );
    builder.options.offline = true;
    let error = tree(&builder, &git).unwrap_err().to_string();
    assert!(error.contains("--offline was asked for"), "{error}");
}

#[test]
fn a_commit_is_pinned_once() {
    if !has_git() {
        return;
    }
    let place = Place::new();
    let [first, _] = place.repository("r");
    let server = place.serve(Way::Plain);
    let git = wanted(server.url("/r/.git"), &first);
    let spec = format!(
        "build app {{\n  source = git({:?}, commit = {first:?})\n  using = script(run = [\"true\"])\n}}\n\
         service web {{\n  builds = [app]\n  run = [\"/bin/a\"]\n}}\n\
         host edge {{\n  services = [web]\n}}\n",
        git.url
    );
    let systems = nos_specs::check("a.nos", &spec, &nos_specs::NoFiles).systems;
    let store = Store::open(place.path("store")).unwrap();
    let warnings = Warnings::default();
    let session = Session {
        store: &store,
        folder: place.0.path(),
        jobs: 1,
        memory_bytes: u64::MAX,
        keep_going: false,
        observer: &warnings,
        options: Options::default(),
    };
    let pins = session
        .pin_commits(&systems, &Lock::default(), None)
        .unwrap();
    assert_eq!(pins.keys().collect::<Vec<_>>(), [&first]);
    let lock = Lock {
        commits: pins.clone(),
        ..Lock::default()
    };
    // From here on nobody is asked: the pin stays, and the build finds the files.
    drop(server);
    assert_eq!(
        session.pin_commits(&systems, &lock, Some(&lock)).unwrap(),
        pins
    );
    let work = Work::Git(git, pins[&first].clone());
    let key = work.key(&[]).unwrap().unwrap();
    let tree = store.result(&key).unwrap().unwrap().tree("tree").unwrap();
    assert_eq!(tree.to_string(), pins[&first].tree);
}
