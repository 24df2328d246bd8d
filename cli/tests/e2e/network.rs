//! Sources from servers of others, through the program: locked, built, and built again without them.
//! The servers speak HTTPS with a certificate of an authority that only `SSL_CERT_FILE` names.

use crate::common::program::{Nos, at};
use crate::common::{Example, can_make_sandboxes, say, store_with_packages};
use crate::loopback::git::{asked, backend, has_git};
use crate::loopback::server::{Reply, Server};
use nos_specs::lock::Lock;
use nos_store::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The authority that signed what the servers say of themselves.
fn authority() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../builder/tests/common/tls/authority.pem")
}

/// A folder with a spec and files, and a lock that pins what an example pins.
struct Project(TempDir);

impl Project {
    fn new(files: &[(&str, &str)], lock: &Lock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), files);
        std::fs::write(folder.path().join("nos.lock"), lock.to_text()).unwrap();
        Self(folder)
    }

    fn lock(&self) -> Lock {
        let text = std::fs::read_to_string(self.0.path().join("nos.lock")).unwrap();
        Lock::parse(&text).unwrap()
    }

    /// A run that knows the servers' authority.
    fn nos(&self, verb: &str, more: &[&str]) -> Nos {
        self.stranger(verb, more).env("SSL_CERT_FILE", authority())
    }

    /// A run that does not.
    fn stranger(&self, verb: &str, more: &[&str]) -> Nos {
        let spec = self.0.path().to_str().unwrap();
        Nos::new([verb, spec].iter().chain(more)).env("no_proxy", "127.0.0.1")
    }
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// What a registry holds, by the end of its address; and the digest of an index for two processors.
fn image(says: &str) -> (BTreeMap<String, Vec<u8>>, String) {
    let hex = |bytes: &[u8]| Digest::of(bytes).to_string();
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(says.len() as u64);
    layer
        .append_data(&mut header, "app", says.as_bytes())
        .unwrap();
    let layer = layer.into_inner().unwrap();
    let manifest =
        format!("{{\"layers\":[{{\"digest\":\"sha256:{}\"}}]}}", hex(&layer)).into_bytes();
    let of = |processor: &str, digest: &str| {
        format!(
            "{{\"digest\":\"sha256:{digest}\",\"platform\":{{\"os\":\"linux\",\
             \"architecture\":\"{processor}\"}}}}"
        )
    };
    let other = of("arm64", &"0".repeat(64));
    let ours = of("amd64", &hex(&manifest));
    let index = format!("{{\"manifests\":[{other},{ours}]}}").into_bytes();
    let top = hex(&index);
    let held = BTreeMap::from([
        (format!("manifests/sha256:{top}"), index),
        (format!("manifests/sha256:{}", hex(&manifest)), manifest),
        (format!("blobs/sha256:{}", hex(&layer)), layer),
    ]);
    (held, top)
}

/// A registry that gives nothing without a token, and a token to everybody.
fn registry(held: BTreeMap<String, Vec<u8>>) -> Server {
    Server::start_tls(move |request| {
        let host = request.header("host").unwrap();
        if request.target.starts_with("/token?") {
            return Reply::new(200, "{\"token\":\"right\"}");
        }
        if request.header("authorization") != Some("Bearer right") {
            let challenge = format!(
                "Bearer realm=\"https://{host}/token\",service=\"s\",scope=\"repository:team/app:pull\""
            );
            return Reply::new(401, "").with("WWW-Authenticate", challenge);
        }
        let name = request.target.strip_prefix("/v2/team/app/");
        match name.and_then(|name| held.get(name)) {
            Some(bytes) => Reply::part(request, bytes),
            None => Reply::new(404, ""),
        }
    })
}

#[test]
fn an_image_of_a_registry_is_built_and_built_again_without_it() {
    // A store that an earlier run filled does not know it.
    let (held, top) = image(&format!("#!/bin/false {}\n", std::process::id()));
    let server = registry(held);
    let url = server.url("/team/app");
    let spec = |digest: &str| {
        format!(
            "use std.kernel\n\nservice app {{\n  from = pull({url:?}, sha256 = {digest:?})\n  run = \
             [\"/app\"]\n}}\n\nhost edge {{\n  kernel = kernel.stock\n  services = [app]\n}}\n"
        )
    };
    let hello = Example::copy("hello").lock();
    let project = Project::new(&[("app.nos", &spec(&top))], &hello);
    project.nos("lock", &[]).succeeds();

    let refused = project
        .stranger("build", &["--locked"])
        .run()
        .expect_code(1);
    for said in ["is not trusted", "UnknownIssuer", "SSL_CERT_FILE"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    let first = project.nos("build", &["--locked"]).json();
    drop(server);
    let again = project.nos("build", &["--locked", "--offline"]).json();
    let root = "/system/manifest/images/0/root_hash";
    assert_eq!(at(&first, root), at(&again, root));

    let bill = project.nos("sbom", &["--offline"]).succeeds();
    assert!(
        bill.stdout.contains(&format!("pkg:oci/app@sha256%3A{top}")),
        "{}",
        bill.stdout
    );

    // Another store has the packages, and nobody to ask for the image.
    let place = tempfile::tempdir().unwrap();
    let store = place.path().join("store");
    store_with_packages(&store, &hello);
    let empty = project
        .nos("build", &["--locked", "--offline"])
        .store(&store);
    let empty = empty.run().expect_code(1);
    assert!(
        empty.stderr.contains("--offline was asked for"),
        "{}",
        empty.stderr
    );

    // Another image under the same name, and a digest that the registry does not have.
    let (held, top) = image("other");
    let server = registry(held);
    let text = spec(&top).replace(&url, &server.url("/team/app"));
    let other = Project::new(&[("app.nos", &text)], &hello);
    other.nos("build", &["--locked"]).succeeds();
    let diff = project.nos("diff", &[other.0.path().to_str().unwrap()]);
    let diff = diff.succeeds().stdout;
    assert!(diff.contains("oci app"), "{diff}");
    let wrong = "f".repeat(64);
    let text = spec(&wrong).replace(&url, &server.url("/team/app"));
    let project = Project::new(&[("app.nos", &text)], &hello);
    let said = project
        .nos("build", &["--locked"])
        .run()
        .expect_code(1)
        .stderr;
    assert!(said.contains(&format!("has no sha256:{wrong}")), "{said}");
    assert!(said.contains("correct address and digest"), "{said}");
}

/// A workspace whose crates take from it what they share.
const LIBRARY: [(&str, &str); 6] = [
    (
        "Cargo.toml",
        "[workspace]\nresolver = \"2\"\nmembers = [\"crates/*\"]\n\n[workspace.package]\nversion = \
         \"0.3.0\"\nedition = \"2021\"\n\n[workspace.dependencies]\nwords = { path = \
         \"crates/words\", default-features = false }\nhttparse = \"1.10\"\n\n[workspace.lints.rust]\n\
         unused = \"deny\"\n",
    ),
    ("README.md", "Says hello.\n"),
    (
        "crates/greeting/Cargo.toml",
        "[package]\nname = \"greeting\"\nversion.workspace = true\nedition.workspace = true\n\n\
         [lints]\nworkspace = true\n\n[dependencies]\nwords = { workspace = true, features = \
         [\"loud\"] }\nhttparse.workspace = true\n",
    ),
    (
        "crates/greeting/src/lib.rs",
        "#![doc = include_str!(\"../README.md\")]\n\npub fn greeting() -> String {\n    \
         format!(\"{} {}\", words::hello(), httparse::EMPTY_HEADER.name.len())\n}\n",
    ),
    (
        "crates/words/Cargo.toml",
        "[package]\nname = \"words\"\nversion.workspace = true\nedition.workspace = true\n\n\
         [features]\nloud = []\n",
    ),
    (
        "crates/words/src/lib.rs",
        "pub fn hello() -> &'static str {\n    if cfg!(feature = \"loud\") { \"HELLO\" } else { \
         \"hello\" }\n}\n",
    ),
];

fn commit(folder: &Path) -> String {
    asked(folder, &["init", "-q"]);
    asked(folder, &["add", "-A"]);
    asked(folder, &["commit", "-qm", "all"]);
    asked(folder, &["rev-parse", "HEAD"])
}

#[test]
fn commits_with_crates_of_other_commits_are_built_and_built_again_without_their_servers() {
    if !can_make_sandboxes() || !has_git() {
        say!("SKIPPED: making a Rust service of two repositories, without git or sandboxes");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (library, app) = (place.path().join("library"), place.path().join("app"));
    write(&library, &LIBRARY);
    std::os::unix::fs::symlink("../../README.md", library.join("crates/greeting/README.md"))
        .unwrap();
    let library = commit(&library);
    let root = place.path().to_owned();
    let server = Server::start_tls(move |request| backend(&root, request, true));

    let url = server.url("/library/.git");
    let greeter = Example::copy("greeter");
    let locked = String::from_utf8(greeter.read("greeter/Cargo.lock")).unwrap();
    let httparse = &locked[locked.find("[[package]]\nname = \"httparse\"").unwrap()..];
    let from = format!("git+{url}?rev={library}#{library}");
    let packages = format!(
        "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = \
         [\n \"greeting\",\n]\n\n[[package]]\nname = \"greeting\"\nversion = \"0.3.0\"\nsource = \
         {from:?}\ndependencies = [\n \"httparse\",\n \"words\",\n]\n\n{}\n\n[[package]]\nname = \
         \"words\"\nversion = \"0.3.0\"\nsource = {from:?}\n",
        httparse.trim_end()
    );
    let tag = std::process::id();
    write(
        &app,
        &[
            ("Cargo.lock", &packages),
            (
                "Cargo.toml",
                &format!(
                    "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
                     [dependencies]\ngreeting = {{ git = {url:?}, rev = {library:?} }}\n"
                ),
            ),
            (
                "src/main.rs",
                // A store that an earlier run filled does not know this line.
                &format!("fn main() {{\n    println!(\"{tag} {{}}\", greeting::greeting());\n}}\n"),
            ),
        ],
    );
    let own = commit(&app);
    let spec = format!(
        "use std.kernel\n\nbuild app {{\n  source = git({:?}, commit = {own:?})\n  using = \
         cargo(static = true)\n}}\n\nservice web {{\n  builds = [app]\n  run = \
         [\"/usr/bin/app\"]\n}}\n\nhost edge {{\n  kernel = kernel.stock\n  services = [web]\n}}\n",
        server.url("/app/.git")
    );
    let mut pinned = greeter.lock();
    let tools = pinned.groups.remove("build greeter").unwrap();
    pinned.groups.insert("build app".into(), tools);
    let project = Project::new(&[("app.nos", &spec)], &pinned);

    let refused = project.stranger("lock", &[]).run().expect_code(1);
    for said in ["is not trusted", "UnknownIssuer", "SSL_CERT_FILE"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    project.nos("lock", &[]).succeeds();
    let commits = project.lock().commits;
    assert_eq!(commits.len(), 2, "{commits:?}");
    assert!(commits.contains_key(&own) && commits.contains_key(&library));

    // What was pinned is there: nobody is asked from here on.
    drop(server);
    project.nos("build", &["--locked", "--offline"]).succeeds();
    let bill = project.nos("sbom", &["--offline"]).succeeds().stdout;
    assert!(
        bill.contains("pkg:cargo/greeting@0.3.0?vcs_url=git%2Bhttps"),
        "{bill}"
    );

    // A commit that the lock does not know.
    let mut less = project.lock();
    less.commits.remove(&library);
    std::fs::write(project.0.path().join("nos.lock"), less.to_text()).unwrap();
    let said = project
        .nos("build", &["--locked", "--offline"])
        .run()
        .expect_code(1)
        .stderr;
    assert!(
        said.contains(&library) && said.contains("run `nos lock`"),
        "{said}"
    );
}
