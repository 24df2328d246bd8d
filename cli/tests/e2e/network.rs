//! Sources from servers of others, through the program: locked, built, and built again without them.
//! The servers speak HTTPS with a certificate of an authority that only `SSL_CERT_FILE` names.

use crate::bom::judged;
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

/// A service whose crates come from a registry and from another repository, and the server of both.
struct Repositories {
    server: Server,
    /// Commits.
    library: String,
    app: String,
    place: TempDir,
}

impl Repositories {
    fn new(greeter: &Example) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (library, app) = (place.path().join("library"), place.path().join("app"));
        write(&library, &LIBRARY);
        std::os::unix::fs::symlink("../../README.md", library.join("crates/greeting/README.md"))
            .unwrap();
        let library = commit(&library);
        let root = place.path().to_owned();
        let server = Server::start_tls(move |request| backend(&root, request, true));

        let url = server.url("/library/.git");
        let locked = String::from_utf8(greeter.read("greeter/Cargo.lock")).unwrap();
        let httparse = &locked[locked.find("[[package]]\nname = \"httparse\"").unwrap()..];
        let from = format!("git+{url}?rev={library}#{library}");
        let packages = format!(
            "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = \
             [\n \"greeting\",\n]\n\n[[package]]\nname = \"greeting\"\nversion = \
             \"0.3.0\"\nsource = {from:?}\ndependencies = [\n \"httparse\",\n \
             \"words\",\n]\n\n{}\n\n[[package]]\nname = \"words\"\nversion = \
             \"0.3.0\"\nsource = {from:?}\n",
            httparse.trim_end()
        );
        let tag = std::process::id();
        let manifest = format!(
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [dependencies]\ngreeting = {{ git = {url:?}, rev = {library:?} }}\n"
        );
        // A store that an earlier run filled does not know this line.
        let main =
            format!("fn main() {{\n    println!(\"{tag} {{}}\", greeting::greeting());\n}}\n");
        write(
            &app,
            &[
                ("Cargo.lock", &packages),
                ("Cargo.toml", &manifest),
                ("src/main.rs", &main),
            ],
        );
        let app = commit(&app);
        Self {
            server,
            library,
            app,
            place,
        }
    }

    /// The build of the service.
    fn build(&self) -> String {
        format!(
            "build app {{\n  source = git({:?}, commit = {:?})\n  using = cargo(static = true)\n}}\n",
            self.server.url("/app/.git"),
            self.app
        )
    }
}

#[test]
fn commits_with_crates_of_other_commits_are_built_and_built_again_without_their_servers() {
    if !can_make_sandboxes() || !has_git() {
        say!("SKIPPED: making a Rust service of two repositories, without git or sandboxes");
        return;
    }
    let greeter = Example::copy("greeter");
    let repositories = Repositories::new(&greeter);
    let spec = format!(
        "use std.kernel\n\n{}\nservice web {{\n  builds = [app]\n  run = \
         [\"/usr/bin/app\"]\n}}\n\nhost edge {{\n  kernel = kernel.stock\n  services = [web]\n}}\n",
        repositories.build()
    );
    let mut pinned = greeter.lock();
    let tools = pinned.groups.remove("build greeter").unwrap();
    pinned.groups.insert("build app".into(), tools);
    let project = Project::new(&[("app.nos", &spec)], &pinned);
    let (own, library) = (&repositories.app, &repositories.library);

    let refused = project.stranger("lock", &[]).run().expect_code(1);
    for said in ["is not trusted", "UnknownIssuer", "SSL_CERT_FILE"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    project.nos("lock", &[]).succeeds();
    let commits = project.lock().commits;
    assert_eq!(commits.len(), 2, "{commits:?}");
    assert!(commits.contains_key(own) && commits.contains_key(library));

    // What was pinned is there: nobody is asked from here on.
    drop(repositories.server);
    project.nos("build", &["--locked", "--offline"]).succeeds();
    let bill = project.nos("sbom", &["--offline"]).succeeds().stdout;
    assert!(
        bill.contains("pkg:cargo/greeting@0.3.0?vcs_url=git%2Bhttps"),
        "{bill}"
    );

    // A commit that the lock does not know.
    let mut less = project.lock();
    less.commits.remove(library);
    std::fs::write(project.0.path().join("nos.lock"), less.to_text()).unwrap();
    let said = project
        .nos("build", &["--locked", "--offline"])
        .run()
        .expect_code(1)
        .stderr;
    assert!(
        said.contains(library) && said.contains("run `nos lock`"),
        "{said}"
    );
}

#[test]
fn a_changed_lock_file_of_a_package_beside_the_spec_is_pinned_as_the_spec_is() {
    if !has_git() {
        say!("SKIPPED: pinning what a changed Cargo.lock names, without git");
        return;
    }
    let greeter = Example::copy("greeter");
    let repositories = Repositories::new(&greeter);
    let spec = "use std.kernel\n\nbuild app {\n  source = folder(\"app\")\n  using = cargo(static = \
                true)\n}\n\nservice web {\n  builds = [app]\n  run = \
                [\"/usr/bin/app\"]\n}\n\nhost edge {\n  kernel = kernel.stock\n  services = \
                [web]\n}\n";
    let mut pinned = greeter.lock();
    let tools = pinned.groups.remove("build greeter").unwrap();
    pinned.groups.insert("build app".into(), tools);
    let project = Project::new(&[("app.nos", spec)], &pinned);
    let app = repositories.place.path().join("app");
    for file in ["Cargo.lock", "Cargo.toml", "src/main.rs"] {
        let text = std::fs::read_to_string(app.join(file)).unwrap();
        write(project.0.path(), &[(&format!("app/{file}"), &text)]);
    }

    // The lock knows nothing of the commit that the file names.
    let refused = project.nos("plan", &["--locked"]).run().expect_code(1);
    let (library, url) = (
        &repositories.library,
        repositories.server.url("/library/.git"),
    );
    let said = format!(
        "nos.lock does not pin commit {library} of {url}, which app/Cargo.lock names; run `nos lock` \
         and commit the result"
    );
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    assert!(project.lock().commits.is_empty());
    project.nos("plan", &[]).succeeds();
    assert!(project.lock().commits.contains_key(library));
    project.nos("plan", &["--locked", "--offline"]).succeeds();
}

/// A spec with a source of each kind that there is, and nothing built of it.
#[test]
fn bills_of_materials_name_every_kind_of_source_and_are_valid() {
    if !has_git() {
        say!("SKIPPED: bills of materials of every kind of source, without git");
        return;
    }
    let greeter = Example::copy("greeter");
    let repositories = Repositories::new(&greeter);
    let (held, far) = image("far");
    let far_away = registry(held);
    let (held, near) = image("near");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(4);
    archive
        .append_data(&mut header, "tool/Makefile", &b"all:"[..])
        .unwrap();
    let archive = archive.into_inner().unwrap();
    let fetched = Digest::of(&archive).to_string();
    let shop = Server::start_tls(move |request| Reply::part(request, &archive));
    let (pull, fetch) = (far_away.url("/team/app"), shop.url("/tool-1.0.tar"));

    let spec = format!(
        r#"use std.kernel

{app}
build dnsmasq {{
  source = debian("dnsmasq")
  using  = make()
}}
build tool {{
  source = fetch({fetch:?}, sha256 = {fetched:?})
  using  = make()
}}
service web {{
  from   = pull({pull:?}, sha256 = {far:?})
  builds = [app]
  run    = ["/usr/bin/app"]
}}
service names {{
  packages = ["libc6"]
  from     = oci("near")
  builds   = [dnsmasq, tool]
  files    = {{ "/etc/names.conf" = text("") }}
  run      = ["/usr/sbin/dnsmasq"]
}}
host edge {{
  kernel   = kernel.stock
  services = [web, names]
}}
"#,
        app = repositories.build()
    );
    // What pins packages of two examples that were locked on two days: nothing is made of them.
    let mut pinned = Example::copy("names").lock();
    let mut more = greeter.lock();
    let make = pinned.groups["build dnsmasq"].clone();
    let cargo = more.groups.remove("build greeter").unwrap();
    more.packages.append(&mut pinned.packages);
    pinned.packages = more.packages;
    pinned.groups.insert("build tool".into(), make);
    pinned.groups.insert("build app".into(), cargo);
    let project = Project::new(&[("all.nos", &spec)], &pinned);
    let mut digests = held
        .keys()
        .filter_map(|name| name.strip_prefix("manifests/sha256:"));
    let manifest = digests.find(|digest| *digest != near).unwrap().to_owned();
    for (name, bytes) in held {
        let index = name == format!("manifests/sha256:{near}");
        let digest = name.rsplit_once(':').unwrap().1;
        let name = match index {
            true => "near/index.json".to_owned(),
            false => format!("near/blobs/sha256/{digest}"),
        };
        write(
            project.0.path(),
            &[(&name, std::str::from_utf8(&bytes).unwrap())],
        );
    }
    project.nos("lock", &[]).succeeds();

    // From the lock alone: no server need be there any more.
    let library = &repositories.library;
    let of_library = repositories.server.url("/library/.git");
    drop((repositories.server, far_away, shop));
    for form in ["spdx", "cyclonedx"] {
        let bill = project.nos("sbom", &["--offline", "--format", form]);
        let bill = bill.succeeds().stdout;
        for part in [
            "pkg:deb/debian/dnsmasq@",
            ".orig.tar.gz",
            "pkg:deb/debian/rustc@",
            "pkg:cargo/httparse@",
            "pkg:cargo/greeting@0.3.0?vcs_url=git%2Bhttps",
            &of_library,
            library,
            &repositories.app,
            &format!("pkg:oci/app@sha256%3A{far}"),
            &fetch,
            &fetched,
            "image near",
            &manifest,
            "text /etc/names.conf",
        ] {
            assert!(bill.contains(part), "{form}: no {part} in {bill}");
        }
        // spdx-tools takes an address for one only where its host has a name.
        judged(form, &bill.replace("127.0.0.1", "servers.example.org"));
    }
}
