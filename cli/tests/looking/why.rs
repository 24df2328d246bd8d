//! `nos why`: the way from a host to a file, a package, a module.

use crate::said::{filled_store, hello, run};

#[test]
fn a_file_a_package_and_a_module_are_explained() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let store = store.to_str().unwrap();
    let why = |what: &str| {
        run(
            place.path(),
            &["why", ".", what, "--offline", "--store", store],
        )
    };
    let file = why("/usr/bin/busybox");
    assert_eq!(
        file.out, "host hello\n  image page\n    /usr/bin/busybox: a service runs it\n",
        "{file:#?}"
    );
    let package = why("busybox-static");
    assert!(
        package
            .out
            .starts_with("host hello\n  image page\n    the spec asks for busybox-static\n"),
        "{package:#?}"
    );
    let module = why("dm_verity");
    assert_eq!(module.code, Some(0), "{module:#?}");
    assert!(
        module
            .out
            .starts_with("host hello\n  initramfs\n    dm_verity: loaded on every machine"),
        "{module:#?}"
    );
    let driver = why("/modules/gve.ko");
    assert!(
        driver.out.contains("loaded where a device matches pci:"),
        "{driver:#?}"
    );
    // Modules are also found by the name that their file has.
    assert_eq!(why("dm-verity").out, module.out);
    why("busybox-statik").expect(1, &["did you mean \"busybox-static\"?"]);
    why("/usr/bin/busybux").expect(
        1,
        &[
            "is in no image of this host",
            "`nos tree` shows what is there",
        ],
    );
}
