//! Bringing packages into the store, over a server that misbehaves.

use crate::archive::{Archive, World, deb};
use crate::indexes::request;
use crate::server::{Fault, Server};
use nos_builder::debian::{DebianError, Mirror, Mode, fetch, lock, missing};
use nos_specs::lock::Lock;
use nos_store::Digest;

/// An archive behind a server, locked, nothing fetched.
struct Scene {
    world: World,
    archive: Archive,
    server: Server,
    mirror: Mirror,
    lock: Lock,
}

impl Scene {
    fn new() -> Self {
        // Random-looking bytes: what compresses away is too short to be cut.
        let noise: String = (0..4000)
            .map(|n| Digest::of(&[n as u8, (n >> 8) as u8]).to_string())
            .collect();
        let archive = Archive::new(&[
            deb("a", "1", "Depends: big, small"),
            deb("big", "2", "").with_files(&[("usr/big", &noise)]),
            deb("small", "3", ""),
        ]);
        let server = Server::start(archive.path());
        let mirror = Mirror::find(Some(&server.url()), None, &[]).unwrap();
        let world = World::new();
        let (lock, _) = lock(&world.env(&mirror), &request(&["a"]), None, &Mode::Keep).unwrap();
        Self {
            world,
            archive,
            server,
            mirror,
            lock,
        }
    }

    fn fetch(&self) -> Result<(), DebianError> {
        fetch(&self.world.env(&self.mirror), &self.lock.packages)
    }

    fn missing(&self) -> Vec<String> {
        missing(&self.world.env(&self.mirror), &self.lock.packages)
            .unwrap()
            .packages
    }

    fn pool_requests(&self) -> Vec<String> {
        let requests = self.server.requests();
        requests
            .into_iter()
            .filter(|r| r.starts_with("pool/"))
            .collect()
    }
}

#[test]
fn what_is_fetched_is_the_pinned_package() {
    let scene = Scene::new();
    assert_eq!(scene.missing(), ["a", "big", "small"]);
    scene.fetch().unwrap();
    assert_eq!(scene.missing(), Vec::<String>::new());
    for pin in scene.lock.packages.values() {
        let digest: Digest = pin.sha256.parse().unwrap();
        let stored = scene.world.store.read_object(&digest).unwrap();
        assert_eq!(
            stored,
            std::fs::read(scene.archive.file(&pin.path)).unwrap()
        );
    }
}

#[test]
fn what_is_stored_is_not_asked_for_again() {
    let scene = Scene::new();
    scene.fetch().unwrap();
    let before = scene.server.requests();
    scene.fetch().unwrap();
    assert_eq!(scene.server.requests(), before);
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let scene = Scene::new();
    scene
        .server
        .fail("big_2_amd64.deb", Fault::CutAfter(20_000));
    scene.fetch().unwrap();
    let requests = scene.pool_requests();
    assert!(
        requests.contains(&"pool/main/big_2_amd64.deb 20000".to_owned()),
        "{requests:?}"
    );
    assert_eq!(scene.world.heard.resumed.lock().unwrap()["big 2"], 20_000);
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_gave_up() {
    let scene = Scene::new();
    for cut in [10_000, 5_000, 1_000] {
        scene.server.fail("big_2_amd64.deb", Fault::CutAfter(cut));
    }
    let error = scene.fetch().unwrap_err();
    assert!(matches!(error, DebianError::Transport(_)), "{error}");
    assert!(error.to_string().contains("broke off"), "{error}");
    scene.fetch().unwrap();
    let mut requests = scene.pool_requests();
    requests.retain(|request| request.contains("big"));
    assert_eq!(requests.last().unwrap(), "pool/main/big_2_amd64.deb 16000");
}

#[test]
fn a_server_without_ranges_is_asked_for_all_of_it() {
    let scene = Scene::new();
    scene
        .server
        .fail("big_2_amd64.deb", Fault::CutAfter(20_000));
    scene.server.fail("big_2_amd64.deb", Fault::NoRange);
    scene.fetch().unwrap();
}

#[test]
fn a_server_that_stumbles_is_asked_again() {
    let scene = Scene::new();
    scene.server.fail("small_3_amd64.deb", Fault::Status(503));
    scene.server.fail("small_3_amd64.deb", Fault::Status(429));
    scene.fetch().unwrap();
    assert_eq!(scene.world.heard.retries.lock().unwrap().len(), 2);
}

#[test]
fn a_refusal_is_not_repeated() {
    let scene = Scene::new();
    scene.server.fail("small_3_amd64.deb", Fault::Status(403));
    let error = scene.fetch().unwrap_err().to_string();
    assert!(error.contains("HTTP status 403"), "{error}");
    let asked = scene
        .pool_requests()
        .into_iter()
        .filter(|r| r.contains("small"))
        .count();
    assert_eq!(asked, 1);
}

#[test]
fn other_bytes_are_refused_and_not_kept() {
    let scene = Scene::new();
    scene
        .archive
        .change("big_2_amd64.deb", |bytes| bytes[5000] ^= 1);
    let error = scene.fetch().unwrap_err();
    assert!(
        matches!(&error, DebianError::WrongPackage { package, .. } if package == "big 2"),
        "{error}"
    );
    assert!(scene.missing().contains(&"big".to_owned()));
    scene
        .archive
        .change("big_2_amd64.deb", |bytes| bytes[5000] ^= 1);
    scene.fetch().unwrap();
}

#[test]
fn too_many_bytes_are_refused_and_not_kept() {
    let scene = Scene::new();
    scene
        .archive
        .change("small_3_amd64.deb", |bytes| bytes.extend([0; 100_000]));
    let error = scene.fetch().unwrap_err();
    assert!(matches!(error, DebianError::WrongPackage { .. }), "{error}");
    scene.archive.change("small_3_amd64.deb", |bytes| {
        bytes.truncate(bytes.len() - 100_000)
    });
    scene.fetch().unwrap();
}

#[test]
fn a_wrong_beginning_from_an_earlier_attempt_is_thrown_away() {
    let scene = Scene::new();
    scene
        .archive
        .change("big_2_amd64.deb", |bytes| bytes[0] ^= 1);
    for _ in 0..3 {
        scene
            .server
            .fail("big_2_amd64.deb", Fault::CutAfter(10_000));
    }
    scene.fetch().unwrap_err();
    scene
        .archive
        .change("big_2_amd64.deb", |bytes| bytes[0] ^= 1);
    scene.fetch().unwrap();
}

#[test]
fn packages_that_are_gone_are_all_named() {
    let scene = Scene::new();
    std::fs::remove_file(scene.archive.file("pool/main/a_1_amd64.deb")).unwrap();
    std::fs::remove_file(scene.archive.file("pool/main/small_3_amd64.deb")).unwrap();
    let error = scene.fetch().unwrap_err();
    assert!(
        matches!(&error, DebianError::Gone { packages, .. } if *packages == ["a 1", "small 3"])
    );
    assert!(error.to_string().contains("nos update"), "{error}");
    assert_eq!(scene.missing(), ["a", "small"]);
}

#[test]
fn no_network_lists_what_was_needed() {
    let Scene {
        world,
        server,
        lock,
        mirror,
        ..
    } = Scene::new();
    drop(server);
    let error = fetch(&world.env(&mirror), &lock.packages).unwrap_err();
    match error {
        DebianError::NoNetwork { needed, .. } => assert_eq!(needed, ["a 1", "big 2", "small 3"]),
        other => panic!("{other}"),
    }
}

#[test]
fn a_redirection_out_of_http_is_not_followed() {
    let scene = Scene::new();
    scene.server.fail("small_3_amd64.deb", Fault::ToLocalFile);
    scene.fetch().unwrap_err();
    assert!(scene.missing().contains(&"small".to_owned()));
}

#[test]
fn pins_that_are_none_are_refused_before_anything_is_fetched() {
    let scene = Scene::new();
    for (field, value) in [
        ("path", "../../etc/passwd"),
        ("path", "/etc/passwd"),
        ("sha256", "zz"),
        ("size", ""),
    ] {
        let mut lock = scene.lock.clone();
        let pin = lock.packages.get_mut("a").unwrap();
        match field {
            "path" => pin.path = value.to_owned(),
            "sha256" => pin.sha256 = value.to_owned(),
            _ => pin.size = u64::MAX,
        }
        let error = fetch(&scene.world.env(&scene.mirror), &lock.packages).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
    assert_eq!(scene.pool_requests(), Vec::<String>::new());
}
