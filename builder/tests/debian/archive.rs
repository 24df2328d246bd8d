//! A small archive in a folder: packages, indexes and signatures made on the spot.

use nos_builder::debian::{Environment, Event, Mirror, Progress, Retry, TrustSet};
use nos_store::{Digest, Store};
use pgp::composed::{ArmorOptions, CleartextSignedMessage, Deserializable, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, Password, SigningKey, Timestamp};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// The present of all tests: 2026-07-01 00:00 UTC.
pub(crate) const NOW: i64 = 1_782_864_000;

pub(crate) const DAY: i64 = 86_400;

const GOOD: &str = include_str!("keys/good.asc");
const EXPIRED: &str = include_str!("keys/expired.asc");
const STRANGER: &str = include_str!("keys/stranger.asc");

#[derive(Clone, Copy)]
pub(crate) enum Key {
    Good,
    /// The subkey of the good key.
    GoodSubkey,
    Expired,
    Stranger,
}

impl Key {
    fn secret(self) -> SignedSecretKey {
        let text = match self {
            Key::Good | Key::GoodSubkey => GOOD,
            Key::Expired => EXPIRED,
            Key::Stranger => STRANGER,
        };
        SignedSecretKey::from_string(text).unwrap().0
    }
}

/// The good and the expired key.
pub(crate) fn trust() -> TrustSet {
    let keys = [Key::Good, Key::Expired].map(|key| {
        let public = key.secret().to_public_key();
        let armored = public.to_armored_string(ArmorOptions::default()).unwrap();
        (public.fingerprint().to_string(), armored)
    });
    let keys = keys.iter().map(|(f, a)| (f.as_str(), a.as_str()));
    TrustSet::from_armored(&keys.collect::<Vec<_>>()).unwrap()
}

/// Signs a text the way an archive does.
pub(crate) fn clearsign(text: &str, key: Key, hash: HashAlgorithm, made: i64) -> String {
    let secret = key.secret();
    match key {
        Key::GoodSubkey => sign_with(text, &secret.secret_subkeys[0].key, hash, made),
        _ => sign_with(text, &secret.primary_key, hash, made),
    }
}

fn sign_with(text: &str, key: &impl SigningKey, hash: HashAlgorithm, made: i64) -> String {
    let mut config = SignatureConfig::v4(SignatureType::Text, key.algorithm(), hash);
    let made = Timestamp::from_secs(u32::try_from(made).unwrap());
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(made)).unwrap(),
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint())).unwrap(),
    ];
    let text = text.trim_end_matches('\n');
    let message = CleartextSignedMessage::new(text, config, key, &Password::empty()).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

/// One package.
#[derive(Clone)]
pub(crate) struct Deb {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Further control fields, each line ended.
    pub(crate) fields: String,
    /// Path without a leading slash → content; a path that ends in `/` is a directory.
    pub(crate) files: Vec<(String, String)>,
    /// The script that is read and never run.
    pub(crate) postinst: String,
}

pub(crate) fn deb(name: &str, version: &str, fields: &str) -> Deb {
    let fields = fields.split(';').filter(|f| !f.trim().is_empty());
    Deb {
        name: name.to_owned(),
        version: version.to_owned(),
        fields: fields.map(|f| format!("{}\n", f.trim())).collect(),
        files: vec![(format!("usr/share/{name}"), format!("{name} {version}\n"))],
        postinst: "#!/bin/sh\nexit 1\n".to_owned(),
    }
}

impl Deb {
    pub(crate) fn with_files(mut self, files: &[(&str, &str)]) -> Self {
        let owned = files
            .iter()
            .map(|(p, c)| ((*p).to_owned(), (*c).to_owned()));
        self.files = owned.collect();
        self
    }

    fn path(&self) -> String {
        format!(
            "pool/main/{}_{}_amd64.deb",
            self.name,
            self.version.replace(':', "_")
        )
    }

    fn control(&self) -> String {
        format!(
            "Package: {}\nVersion: {}\nArchitecture: amd64\n{}Description: a test\n",
            self.name, self.version, self.fields
        )
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let control = tar(&[
            ("control".to_owned(), self.control()),
            ("md5sums".to_owned(), String::new()),
            ("postinst".to_owned(), self.postinst.clone()),
        ]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&control).unwrap();
        ar(&[
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", gzip.finish().unwrap()),
            ("data.tar.xz", xz(&tar(&self.files))),
        ])
    }

    fn stanza(&self) -> String {
        let bytes = self.bytes();
        format!(
            "{}Filename: {}\nSize: {}\nSHA256: {}\n\n",
            self.control(),
            self.path(),
            bytes.len(),
            Digest::of(&bytes)
        )
    }
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn tar(files: &[(String, String)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        let (kind, mode) = if path.ends_with('/') {
            (tar::EntryType::Directory, 0o755)
        } else if content.starts_with("-> ") {
            (tar::EntryType::Symlink, 0o777)
        } else {
            (tar::EntryType::Regular, 0o644)
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let path = format!("./{path}");
        if let Some(target) = content.strip_prefix("-> ") {
            header.set_size(0);
            builder.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn ar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            100_644,
            content.len()
        );
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// The source of a package: its archives by the ends of their names.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) archives: Vec<(String, Vec<u8>)>,
}

/// A source whose archives (end of the name → files) are made on the spot.
pub(crate) fn source(name: &str, version: &str, archives: &[(&str, &[(&str, &str)])]) -> Source {
    let archives = archives.iter().map(|(ending, files)| {
        let files = files
            .iter()
            .map(|(p, c)| ((*p).to_owned(), (*c).to_owned()));
        ((*ending).to_owned(), xz(&tar(&files.collect::<Vec<_>>())))
    });
    Source {
        name: name.to_owned(),
        version: version.to_owned(),
        archives: archives.collect(),
    }
}

impl Source {
    fn folder(&self) -> String {
        format!("pool/main/{}", self.name)
    }

    fn file(&self, ending: &str) -> String {
        format!("{}_{ending}", self.name)
    }

    fn stanza(&self) -> String {
        let Self { name, version, .. } = self;
        let files: String = self
            .archives
            .iter()
            .map(|(ending, bytes)| {
                let (digest, size) = (Digest::of(bytes), bytes.len());
                format!("\n {digest} {size} {}", self.file(ending))
            })
            .collect();
        format!(
            "Package: {name}\nBinary: {name}, lib{name}1\nVersion: {version}\nDirectory: {}\n\
             Checksums-Sha256:{files}\n\n",
            self.folder()
        )
    }
}

/// The archive's folder.
pub(crate) struct Archive {
    folder: tempfile::TempDir,
}

/// How a suite is published; change what a test is about.
pub(crate) struct Publication<'a> {
    pub(crate) suite: &'a str,
    pub(crate) packages: &'a [Deb],
    /// Sources; where there are none, there is no index of them either.
    pub(crate) sources: &'a [Source],
    /// Seconds from [`NOW`].
    pub(crate) date: i64,
    pub(crate) valid_until: i64,
    pub(crate) key: Key,
    pub(crate) hash: HashAlgorithm,
    /// What the Release says it is.
    pub(crate) codename: &'a str,
}

impl<'a> Publication<'a> {
    pub(crate) fn new(suite: &'a str, packages: &'a [Deb]) -> Self {
        Self {
            suite,
            packages,
            sources: &[],
            date: -DAY,
            valid_until: 6 * DAY,
            key: Key::Good,
            hash: HashAlgorithm::Sha512,
            codename: suite,
        }
    }
}

impl Archive {
    /// `trixie` with these packages, and empty `trixie-updates` and `trixie-security`.
    pub(crate) fn new(packages: &[Deb]) -> Self {
        let archive = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        archive.publish(&Publication::new("trixie", packages));
        archive.publish(&Publication::new("trixie-updates", &[]));
        archive.publish(&Publication::new("trixie-security", &[]));
        archive
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn mirror(&self) -> Mirror {
        Mirror::find(self.folder.path().to_str(), None, &[]).unwrap()
    }

    pub(crate) fn publish(&self, publication: &Publication<'_>) {
        for package in publication.packages {
            self.write(&package.path(), &package.bytes());
        }
        let packages: String = publication.packages.iter().map(Deb::stanza).collect();
        let index = xz(packages.as_bytes());
        let folder = format!("dists/{}/main/binary-amd64", publication.suite);
        let by_hash = format!("{folder}/by-hash/SHA256/{}", Digest::of(&index));
        self.write(&format!("{folder}/Packages.xz"), &index);
        self.write(&by_hash, &index);
        let mut sources = String::new();
        if !publication.sources.is_empty() {
            for source in publication.sources {
                for (ending, bytes) in &source.archives {
                    let path = format!("{}/{}", source.folder(), source.file(ending));
                    self.write(&path, bytes);
                }
            }
            let text: String = publication.sources.iter().map(Source::stanza).collect();
            let index = xz(text.as_bytes());
            let path = "main/source/Sources.xz";
            self.write(&format!("dists/{}/{path}", publication.suite), &index);
            sources = format!(" {} {} {path}\n", Digest::of(&index), index.len());
        }
        let release = format!(
            "Origin: Test\nCodename: {}\nDate: {}\nValid-Until: {}\nAcquire-By-Hash: yes\n\
             SHA256:\n {} {} main/binary-amd64/Packages\n {} {} main/binary-amd64/Packages.xz\n{sources}",
            publication.codename,
            date(NOW + publication.date),
            date(NOW + publication.valid_until),
            Digest::of(packages.as_bytes()),
            packages.len(),
            Digest::of(&index),
            index.len(),
        );
        let (key, hash) = (publication.key, publication.hash);
        let signed = clearsign(&release, key, hash, NOW - 30 * DAY);
        self.write(
            &format!("dists/{}/InRelease", publication.suite),
            signed.as_bytes(),
        );
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.file(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Changes files whose path ends so.
    pub(crate) fn change(&self, ending: &str, change: impl Fn(&mut Vec<u8>)) {
        let mut changed = 0;
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_str().unwrap().ends_with(ending) {
                    let mut bytes = std::fs::read(&path).unwrap();
                    change(&mut bytes);
                    std::fs::write(&path, bytes).unwrap();
                    changed += 1;
                }
            }
        }
        assert!(changed > 0, "nothing ends in {ending}");
    }
}

/// `Wed, 01 Jul 2026 00:00:00 UTC`, for times of 2026.
fn date(seconds: i64) -> String {
    let mut day = (seconds - 1_767_225_600).div_euclid(DAY);
    let clock = seconds.rem_euclid(DAY);
    let months = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    for (month, days) in months {
        if day < days {
            let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
            return format!(
                "Mon, {:02} {month} 2026 {hour:02}:{minute:02}:{second:02} UTC",
                day + 1
            );
        }
        day -= days;
    }
    panic!("not in 2026: {seconds}");
}

/// A store, a trust set and a listener.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) trust: TrustSet,
    pub(crate) heard: Heard,
}

/// What was said on the way.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) warnings: Mutex<Vec<String>>,
    pub(crate) retries: Mutex<Vec<String>>,
    pub(crate) resumed: Mutex<BTreeMap<String, u64>>,
}

impl Progress for Heard {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Warning { text } => self.warnings.lock().unwrap().push(text.to_owned()),
            Event::Retrying { reason, .. } => self.retries.lock().unwrap().push(reason.to_owned()),
            Event::Started {
                item, done_bytes, ..
            } if done_bytes > 0 => {
                self.resumed
                    .lock()
                    .unwrap()
                    .insert(item.to_owned(), done_bytes);
            }
            _ => {}
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: Store::options()
                .durable(false)
                .open(folder.path().join("store"))
                .unwrap(),
            _folder: folder,
            trust: trust(),
            heard: Heard::default(),
        }
    }

    pub(crate) fn env<'a>(&'a self, mirror: &'a Mirror) -> Environment<'a> {
        let mut env = Environment::new(&self.store, Ok(mirror), &self.trust, NOW, &self.heard);
        env.retry = Retry {
            attempts: 3,
            backoff: Duration::ZERO,
        };
        env
    }
}
