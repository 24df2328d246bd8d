use super::*;
use crate::config::{Disk, Forward};
use crate::vm::tests::fake_toolbox;
use expect_test::{Expect, expect};

fn check(config: &Config, accelerator: Accelerator, expected: Expect) {
    let (folder, toolbox) = fake_toolbox();
    let args = arguments(config, &toolbox, accelerator, Path::new("/private/vars"));
    let text: Vec<String> = args
        .iter()
        .map(|arg| arg.to_str().unwrap().to_owned())
        .collect();
    let root = folder.path().to_str().unwrap();
    expected.assert_eq(&text.join(" ").replace(" -", "\n-").replace(root, "ROOT"));
}

#[test]
fn a_machine_that_boots_a_disk_by_uefi() {
    let mut config = Config::new("/scratch");
    config.disks = vec![Disk::new("/disks/a,b.img"), Disk::snapshot("/disks/c.img")];
    config.disks[1].sector_bytes = 4096;
    config.forwards = vec![
        Forward { host: 0, guest: 80 },
        Forward {
            host: 8443,
            guest: 443,
        },
    ];
    config.watchdog = true;
    config.extra = vec!["-S".into()];
    check(
        &config,
        Accelerator::Tcg,
        expect![[r#"
        -nodefaults
        -no-user-config
        -name nos
        -display none
        -machine q35,sata=off,smbus=off,usb=off,vmport=off
        -accel tcg,thread=multi
        -cpu max,la57=off
        -global apic-common.vapic=off
        -m 256M
        -smp 1
        -drive if=pflash,unit=0,format=raw,readonly=on,file=ROOT/usr/share/OVMF/OVMF_CODE_4M.fd
        -drive if=pflash,unit=1,format=raw,file=/private/vars
        -drive if=none,id=disk0,format=raw,snapshot=off,readonly=off,discard=unmap,file=/disks/a,,b.img
        -device virtio-blk-pci,drive=disk0,logical_block_size=512,physical_block_size=4096,bootindex=0
        -drive if=none,id=disk1,format=raw,snapshot=on,readonly=off,discard=unmap,file=/disks/c.img
        -device virtio-blk-pci,drive=disk1,logical_block_size=4096,physical_block_size=4096,bootindex=1
        -netdev user,id=net0,hostfwd=tcp:127.0.0.1:0-:80,hostfwd=tcp:127.0.0.1:8443-:443
        -device virtio-net-pci,netdev=net0,romfile=
        -object rng-builtin,id=rng0
        -device virtio-rng-pci,rng=rng0
        -device i6300esb
        -action watchdog=reset
        -no-reboot
        -chardev stdio,id=console,signal=off
        -serial chardev:console
        -chardev socket,id=monitor,path=qmp,server=on,wait=off
        -mon chardev=monitor,mode=control
        -S"#]],
    );
}

#[test]
fn a_kernel_started_directly_on_the_minimal_machine() {
    let mut config = Config::new("/scratch");
    config.boot = Boot::Direct {
        kernel: "/k/vmlinuz".into(),
        initrd: Some("/k/initrd".into()),
        cmdline: "console=ttyS0 quiet".into(),
        microvm: true,
    };
    config.disks = vec![Disk::new("/disks/a.img")];
    config.console = ConsoleTo::Stdio;
    config.on_reset = OnReset::Boot;
    check(
        &config,
        Accelerator::Kvm,
        expect![[r#"
        -nodefaults
        -no-user-config
        -name nos
        -display none
        -machine microvm,acpi=off,rtc=on,pit=on,pic=on,pcie=off,usb=off
        -accel kvm
        -cpu host
        -global apic-common.vapic=off
        -m 256M
        -smp 1
        -kernel /k/vmlinuz
        -initrd /k/initrd
        -append console=ttyS0 quiet
        -drive if=none,id=disk0,format=raw,snapshot=off,readonly=off,discard=unmap,file=/disks/a.img
        -device virtio-blk-device,drive=disk0,logical_block_size=512,physical_block_size=4096
        -netdev user,id=net0
        -device virtio-net-device,netdev=net0
        -object rng-builtin,id=rng0
        -device virtio-rng-device,rng=rng0
        -chardev stdio,id=console,signal=on
        -serial chardev:console
        -chardev socket,id=monitor,path=qmp,server=on,wait=off
        -mon chardev=monitor,mode=control"#]],
    );
}
