//! `init`: made in the sandbox, from the source and with the tools that travel with `nos`, it is the
//! program that is shipped beside them.
//!
//! | `UPDATE_EXPECT` | Does |
//! |---|---|
//! | `1` | ships what is made of today's source; this is to be run after each change of `init`, `manifest` or `pointer` |
//! | `pins` | pins the tools to what the archive has now; to be followed by `1` |

use crate::common::program::{Nos, at};
use crate::common::{Example, can_make_sandboxes, say, shared_store};
use nos_builder::init;
use nos_formats::cpio::Reader;
use nos_specs::lock::Lock;
use nos_store::{Digest, Store};
use std::path::PathBuf;

/// Compression of what is shipped.
const LEVEL: i32 = 19;

/// A spec that asks for what `init` is made with.
const PINNING: &str = r#"
use std.kernel
build init {
  source = folder("init")
  using  = cargo(static = true)
}
service init {
  builds = [init]
  run    = ["/usr/bin/nos-init"]
}
host made {
  kernel   = kernel.stock
  services = [init]
}
"#;

fn place(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../init")
        .join(file)
}

/// The program in the initramfs of a built system.
fn init_of(built: &serde_json::Value) -> Vec<u8> {
    let digest = at(built, "/system/initrd/digest").as_str().unwrap();
    let store = Store::open(shared_store()).unwrap();
    let initrd = store.read_object(&digest.parse().unwrap()).unwrap();
    // The manifest's archive is plain and comes first, the packed one after it.
    let mut plain = Reader::new(&initrd);
    while plain.next_entry().unwrap().is_some() {}
    let packed = initrd[plain.offset()..].iter().position(|byte| *byte != 0);
    let packed = &initrd[plain.offset() + packed.unwrap()..];
    let archive = zstd::stream::decode_all(packed).unwrap();
    let mut archive = Reader::new(&archive);
    loop {
        let entry = archive.next_entry().unwrap().expect("no init");
        if entry.name == b"init" {
            return entry.data.to_vec();
        }
    }
}

/// Pins what `init` is made with to what the archive has now.
fn renew_pins() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("init")).unwrap();
    std::fs::write(folder.path().join("made.nos"), PINNING).unwrap();
    Nos::new(["lock".into(), folder.path().display().to_string()]).succeeds();
    let text = std::fs::read_to_string(folder.path().join("nos.lock")).unwrap();
    let mut lock = Lock::parse(&text).unwrap();
    lock.groups.retain(|name, _| name == init::TOOLCHAIN_GROUP);
    let group = &lock.groups[init::TOOLCHAIN_GROUP];
    lock.packages
        .retain(|name, _| group.packages.contains(name));
    std::fs::write(place("toolchain.lock"), lock.to_text()).unwrap();
}

#[test]
fn init_made_from_its_source_is_what_is_shipped() {
    let update = std::env::var("UPDATE_EXPECT").ok();
    if update.as_deref() == Some("pins") {
        return renew_pins();
    }
    if !can_make_sandboxes() {
        say!("SKIPPED: making init from its source, as sandboxes cannot be made here");
        return;
    }
    let hello = Example::copy("hello");
    let build = [
        "build",
        &hello.spec(),
        "--locked",
        "--init-from-source",
        "--json",
    ];
    let built = Nos::new(build).run();
    if built.stderr.contains("which this nos makes init with") {
        say!(
            "NOTE: the mirror no longer has what init/toolchain.lock pins. Run `UPDATE_EXPECT=pins \
             cargo test -p nos --test e2e init`, then the same with UPDATE_EXPECT=1, and commit \
             the results."
        );
        return;
    }
    let program = init_of(&built.expect_code(0).json());
    let digest = Digest::of(&program);
    if update.is_some() {
        let key = init::key();
        let record = format!("key = \"{key}\"\nsha256 = \"{digest}\"\n");
        let packed = zstd::bulk::compress(&program, LEVEL).unwrap();
        std::fs::write(place("shipped/record.toml"), record).unwrap();
        std::fs::write(place("shipped/nos-init.zst"), packed).unwrap();
        return;
    }
    assert_eq!(
        init::shipped(),
        Some(digest),
        "init is another than what is shipped; `UPDATE_EXPECT=1 cargo test -p nos --test e2e init` \
         ships it"
    );
}
