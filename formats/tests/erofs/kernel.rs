//! The kernel of this machine mounts our images: for root only, and as far as it knows EROFS.

use std::path::Path;
use std::process::Command;

use crate::support::*;
use nos_formats::tree::Kind;

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn the_kernel_reads_what_was_written() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let mut tree = sample();
    add_file(&mut tree, "large", text(9, 9_000_000));
    for number in 0..3000 {
        add_file(
            &mut tree,
            &format!("many/file-{number}"),
            format!("{number}"),
        );
    }
    for options in forms() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image");
        let at = folder.path().join("mnt");
        std::fs::create_dir(&at).unwrap();
        std::fs::write(&file, image(&tree, &options)).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "erofs", "-o", "loop,ro"])
            .arg(&file)
            .arg(&at);
        let output = mount.output().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            eprintln!("skipped: this kernel does not mount {options:?}: {said}");
            continue;
        }
        let _mounted = Mounted(&at);
        let what = format!("{options:?}");
        assert_folder(&at, &tree, 0o7777, &what);
        assert_metadata(&at, &tree, &what);
    }
}

/// Owners, links, device numbers, times and attributes.
fn assert_metadata(folder: &Path, tree: &Files, what: &str) {
    use std::os::unix::fs::MetadataExt;
    for (path, node) in tree.iter() {
        let at = folder.join(path.to_string().trim_start_matches('/'));
        let found = at.symlink_metadata().unwrap();
        let expected = expected_metadata(tree, node);
        assert_eq!(
            (found.uid(), found.gid()),
            (expected.uid, expected.gid),
            "{what}: {path}"
        );
        assert_eq!(found.mtime(), 0, "{what}: {path}");
        if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = node.kind {
            let number = rustix::fs::makedev(major, minor);
            assert_eq!(found.rdev(), number, "{what}: {path}");
        }
        for (name, value) in &expected.xattrs {
            let name = std::str::from_utf8(name).unwrap();
            let mut buffer = vec![0; 4096];
            let len = rustix::fs::lgetxattr(&at, name, &mut buffer[..]).unwrap();
            assert_eq!(&buffer[..len], value, "{what}: {name} of {path}");
        }
    }
    let links = |at: &str| folder.join(at).symlink_metadata().unwrap().nlink();
    assert_eq!(links("usr"), 5, "{what}");
    assert_eq!(links("usr/bin/tool"), 2, "{what}");
}
