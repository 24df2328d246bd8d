//! Files from servers that do as servers do.

use super::{archive, file};
use crate::debian::Transport;
use crate::testing::{Reply, Request, Server, Warnings, builder};
use nos_formats::tree::Kind;
use nos_store::{ActionResult, Digest, Output, Store};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longest silence that is waited for where a test is about that.
const SILENCE: Duration = Duration::from_secs(1);

fn content() -> Vec<u8> {
    (0..200_000u32).flat_map(u32::to_le_bytes).collect()
}

/// A store in a folder.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> Store {
        Store::open(self.0.path().join("store")).unwrap()
    }

    /// Fetches; gives warnings, or why not.
    fn fetch(&self, addresses: &[String], digest: &Digest) -> Result<Vec<String>, String> {
        self.fetch_by(&Transport::new(1), addresses, digest)
    }

    fn fetch_by(
        &self,
        transport: &Transport,
        addresses: &[String],
        digest: &Digest,
    ) -> Result<Vec<String>, String> {
        let (store, warnings) = (self.store(), Warnings::default());
        let builder = builder(&store, self.0.path(), &warnings);
        let blob = file(&builder, transport, "it", addresses, digest).map_err(|e| e.to_string())?;
        assert_eq!(store.read_object(digest).unwrap().len() as u64, blob.size);
        Ok(warnings.all())
    }

    /// What is left of downloads.
    fn left(&self) -> usize {
        let folder = self.0.path().join("store/downloads");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

/// Where each request began.
fn ranges(server: &Server) -> Vec<Option<usize>> {
    server.requests().iter().map(Request::range).collect()
}

/// A server whose first answers are cut after `bytes`.
fn cutting(times: usize, bytes: usize, answer: fn(&Request, &[u8]) -> Reply) -> Server {
    let asked = AtomicUsize::new(0);
    Server::start(move |request| {
        let mut reply = answer(request, &content());
        if asked.fetch_add(1, Ordering::Relaxed) < times {
            reply.cut = Some(bytes);
        }
        reply
    })
}

#[test]
fn a_cut_connection_is_gone_on_with() {
    let (place, digest) = (Place::new(), Digest::of(&content()));
    let server = cutting(2, 300_000, Reply::part);
    let warnings = place.fetch(&[server.url("/a")], &digest).unwrap();
    assert_eq!(ranges(&server), [None, Some(300_000), Some(600_000)]);
    assert!(warnings[1].contains("/a broke off"), "{warnings:?}");
    assert_eq!(place.left(), 0);
    // Another time there is nothing to fetch.
    place.fetch(&[server.url("/a")], &digest).unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn another_run_goes_on_where_one_gave_up() {
    let (place, digest) = (Place::new(), Digest::of(&content()));
    let server = cutting(usize::MAX, 100_000, Reply::part);
    let error = place.fetch(&[server.url("/a")], &digest).unwrap_err();
    assert!(error.ends_with("try again"), "{error}");
    let server = cutting(0, 0, Reply::part);
    place.fetch(&[server.url("/a")], &digest).unwrap();
    assert_eq!(ranges(&server), [Some(400_000)]);
}

#[test]
fn a_server_without_ranges_is_listened_to_from_the_start() {
    let (place, digest) = (Place::new(), Digest::of(&content()));
    let server = cutting(1, 300_000, |_, bytes| Reply::new(200, bytes));
    place.fetch(&[server.url("/a")], &digest).unwrap();
    assert_eq!(ranges(&server), [None, Some(300_000)]);
}

#[test]
fn halves_of_two_files_are_thrown_away() {
    let (place, digest) = (Place::new(), Digest::of(&content()));
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        // The file was another one when the first half came.
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        let bytes = if first { vec![7; 800_000] } else { content() };
        let mut reply = Reply::part(request, &bytes);
        reply.cut = first.then_some(300_000);
        reply
    });
    let warnings = place.fetch(&[server.url("/a")], &digest).unwrap();
    assert_eq!(ranges(&server), [None, Some(300_000), None]);
    assert!(
        warnings[1].contains("does not fit what came now"),
        "{warnings:?}"
    );
}

#[test]
fn a_wrong_file_is_not_kept_and_both_digests_are_named() {
    let (place, wanted) = (Place::new(), Digest::of(b"wanted"));
    let server = Server::start(|_| Reply::new(200, "other"));
    let error = place.fetch(&[server.url("/a")], &wanted).unwrap_err();
    let found = Digest::of(b"other");
    for part in [wanted.to_string(), found.to_string(), server.url("/a")] {
        assert!(error.contains(&part), "{part}: {error}");
    }
    assert_eq!(server.requests().len(), 1, "asking again would not help");
    assert!(!place.store().contains(&found).unwrap());
    assert_eq!(place.left(), 0);
}

#[test]
fn mirrors_are_asked_in_turn() {
    let (place, digest) = (Place::new(), Digest::of(b"right"));
    let server = Server::start(|request| match request.target.as_str() {
        "/right" => Reply::new(200, "right"),
        "/wrong" => Reply::new(200, "wrong"),
        _ => Reply::new(404, ""),
    });
    // Nobody listens there, and nobody can begin to without being root.
    let dead = "http://127.0.0.1:1/a".to_owned();
    let mut addresses = vec![dead.clone(), server.url("/none"), server.url("/wrong")];
    let error = place.fetch(&addresses, &digest).unwrap_err();
    for part in [
        &format!("{dead} cannot be reached"),
        "/none does not exist",
        &Digest::of(b"wrong").to_string(),
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    addresses.push(server.url("/right"));
    place.fetch(&addresses, &digest).unwrap();
}

#[test]
fn silence_and_circles_have_an_end() {
    let (place, digest) = (Place::new(), Digest::of(&content()));
    let server = Server::start(|request| {
        let mut reply = Reply::part(request, &content());
        (reply.cut, reply.hangs) = (Some(100_000), true);
        reply
    });
    let transport = Transport::with_patience(1, SILENCE);
    let error = place
        .fetch_by(&transport, &[server.url("/a")], &digest)
        .unwrap_err();
    assert!(error.contains("timeout"), "{error}");
    let last = ranges(&server).pop().unwrap();
    assert!(last.is_some(), "what came before the silence was lost");

    let server = Server::start(|_| Reply::new(302, "").with("Location", "/again"));
    let error = place.fetch(&[server.url("/a")], &digest).unwrap_err();
    assert!(
        error.contains("cannot be used: too many redirects"),
        "{error}"
    );
    let server = Server::start(|_| Reply::new(302, "").with("Location", "file:///etc/passwd"));
    let error = place.fetch(&[server.url("/a")], &digest).unwrap_err();
    assert!(error.contains("cannot be used"), "{error}");
    let server = Server::start(|request| match request.target.as_str() {
        "/a" => Reply::new(302, "").with("Location", "/b"),
        _ => Reply::part(request, &content()),
    });
    place.fetch(&[server.url("/a")], &digest).unwrap();
}

#[test]
fn a_file_that_says_that_it_is_endless_is_not_begun() {
    let (place, digest) = (Place::new(), Digest::of(b"x"));
    let server = Server::start(|_| Reply::new(200, "").with("Content-Length", "99999999999999"));
    let error = place.fetch(&[server.url("/a")], &digest).unwrap_err();
    assert!(
        error.contains("is larger than 17179869184 bytes"),
        "{error}"
    );
}

/// A tar archive with one folder, and in it a program.
fn packed() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode, bytes) in [("app-1/", 0o777, &b""[..]), ("app-1/run", 0o6711, b"#!")] {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_mode(mode);
        header.set_uid(1000);
        header.set_gid(1000);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn archives_are_known_by_how_they_begin() {
    let place = Place::new();
    let (store, warnings) = (place.store(), Warnings::default());
    let builder = builder(&store, Path::new("/"), &warnings);
    let plain = packed();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).unwrap();
    let all = [
        gzip.finish().unwrap(),
        bzip2.finish().unwrap(),
        xz.finish().unwrap(),
        zstd::encode_all(plain.as_slice(), 1).unwrap(),
        plain,
    ];
    for bytes in all {
        let blob = store.add_reader(&mut bytes.as_slice()).unwrap();
        let input = ActionResult::with_output("file", Output::Object(blob));
        let result = archive(&builder, "app.tar", &[&input]).unwrap();
        let tree = store.read_tree(&result.tree("tree").unwrap()).unwrap();
        let shown = tree.iter().map(|(path, node)| {
            let is_file = matches!(node.kind, Kind::File(_));
            format!(
                "{path} {:o} {} {is_file}",
                node.metadata.mode, node.metadata.uid
            )
        });
        assert_eq!(
            shown.collect::<Vec<_>>(),
            ["/ 755 0 false", "/run 755 0 true"]
        );
    }
}
