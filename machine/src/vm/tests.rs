//! With `NOS_TEST_TOOLBOX` naming an unpacked tree of [`Toolbox::PACKAGES`], real machines are
//! started; without it these tests say that they are skipped.

use super::*;
use crate::acceleration::Accelerator;
use crate::config::{Accel, Disk};
use tempfile::TempDir;

/// The toolbox to test with, if there is one.
pub(crate) fn toolbox() -> Option<Toolbox> {
    let Some(root) = std::env::var_os("NOS_TEST_TOOLBOX") else {
        eprintln!("skipped: NOS_TEST_TOOLBOX names no unpacked QEMU packages");
        return None;
    };
    Some(Toolbox::new(Path::new(&root)).unwrap())
}

/// A toolbox of empty files.
pub(crate) fn fake_toolbox() -> (TempDir, Toolbox) {
    let folder = tempfile::tempdir().unwrap();
    let loader = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
    let firmware = Toolbox::DATA;
    for file in [Toolbox::PROGRAM, loader, firmware[0], firmware[1]] {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
    let toolbox = Toolbox::new(folder.path()).unwrap();
    (folder, toolbox)
}

#[test]
fn a_toolbox_names_what_it_lacks() {
    let (folder, _) = fake_toolbox();
    std::fs::remove_file(folder.path().join(Toolbox::DATA[0])).unwrap();
    let error = Toolbox::new(folder.path()).unwrap_err().to_string();
    assert!(error.contains("OVMF_CODE_4M.fd is missing"), "{error}");
    assert!(error.contains("fetch"), "{error}");
}

#[test]
fn forwards_are_read_from_the_monitors_table() {
    let table = "Hub -1 (net0):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
  TCP[HOST_FORWARD]  13       127.0.0.1 41237       10.0.2.15    80     0     0\r
  TCP[ESTABLISHED]   15       127.0.0.1 41237       127.0.0.1 50000     0     0\r
  UDP[236 sec]       16       10.0.2.15 49829         1.1.1.1    53     0     0\r
  TCP[HOST_FORWARD]  12       127.0.0.1  8443       10.0.2.15   443     0     0\r\n";
    let found = parse_forwards(table);
    let expected = [(41237, 80), (8443, 443)].map(|(host, guest)| Forward { host, guest });
    assert_eq!(found, expected);
    assert_eq!(parse_forwards("TCP[HOST_FORWARD] x 1"), []);
}

#[test]
fn variables_are_kept_or_fresh() {
    let (folder, toolbox) = fake_toolbox();
    let mut config = Config::new(folder.path());
    let fresh = place_variables(&config, &toolbox, folder.path()).unwrap();
    assert_eq!(std::fs::read_to_string(fresh).unwrap(), Toolbox::DATA[1]);
    let kept = folder.path().join("kept.fd");
    config.boot = Boot::Uefi {
        variables: Some(kept.clone()),
    };
    assert_eq!(
        place_variables(&config, &toolbox, folder.path()).unwrap(),
        kept
    );
    std::fs::write(&kept, "changed").unwrap();
    place_variables(&config, &toolbox, folder.path()).unwrap();
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "changed");
}

#[test]
fn a_missing_disk_is_named_before_anything_starts() {
    let (folder, toolbox) = fake_toolbox();
    let mut config = Config::new(folder.path());
    config.disks = vec![Disk::new(folder.path().join("none.img"))];
    let error = Vm::start(&toolbox, &config).unwrap_err().to_string();
    assert!(error.contains("none.img cannot be used"), "{error}");
    let left = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(left.count(), 1, "the private folder is gone");
}

/// A machine with an empty disk, which firmware says it cannot boot.
fn config(folder: &TempDir) -> Config {
    let disk = folder.path().join("disk.img");
    File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    let mut config = Config::new(folder.path());
    config.disks = vec![Disk::new(disk)];
    config.accel = Accel::Tcg;
    config.memory_bytes = 128 << 20;
    config
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn firmware_runs_ports_are_found_and_nothing_is_left() {
    let Some(toolbox) = toolbox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.forwards = vec![Forward { host: 0, guest: 80 }];
    let mut vm = Vm::start(&toolbox, &config).unwrap();
    let port = vm.host_port(80).unwrap();
    assert_ne!(port, 0);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    vm.console()
        .wait_for("BdsDxe: failed to load", LONG)
        .unwrap();
    assert!(vm.resident_bytes().unwrap() > 1 << 20);
    assert!(vm.wait(Duration::ZERO).unwrap().is_none());

    config.forwards[0].host = port;
    let error = Vm::start(&toolbox, &config).unwrap_err();
    assert!(
        matches!(error, MachineError::PortInUse { port: p } if p == port),
        "{error}"
    );

    let ended = vm.quit().unwrap();
    assert_eq!(ended.reason.as_deref(), Some("host-qmp-quit"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn wrong_arguments_are_answered_in_qemus_words() {
    let Some(toolbox) = toolbox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.extra = vec!["-device".into(), "no-such-device".into()];
    let error = Vm::start(&toolbox, &config).unwrap_err().to_string();
    assert!(
        error.contains("'no-such-device' is not a valid device"),
        "{error}"
    );
}

#[test]
fn a_dropped_machine_is_gone() {
    let Some(toolbox) = toolbox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let vm = Vm::start(&toolbox, &config(&folder)).unwrap();
    let process = PathBuf::from(format!("/proc/{}", vm.id()));
    assert!(process.exists());
    vm.cut_power();
    assert!(!process.exists());
}

/// Whatever KVM is worth on this machine, a machine that may choose runs.
#[test]
fn a_machine_that_may_choose_runs_and_says_why_not_faster() {
    let Some(toolbox) = toolbox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.accel = Accel::Auto;
    let vm = Vm::start(&toolbox, &config).unwrap();
    vm.console()
        .wait_for("BdsDxe: failed to load", LONG)
        .unwrap();
    let chosen = vm.acceleration();
    eprintln!("{chosen:?}");
    assert_eq!(
        chosen.accelerator == Accelerator::Tcg,
        chosen.why_not_kvm.is_some()
    );
}
