//! QEMU and its firmware.

use crate::error::MachineError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where QEMU and its firmware are, and how QEMU is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolbox {
    qemu: PathBuf,
    /// Dynamic loader and library folder, where QEMU is not installed.
    loader: Option<(PathBuf, PathBuf)>,
    data: Vec<PathBuf>,
    firmware_code: PathBuf,
    firmware_variables: PathBuf,
}

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

impl Toolbox {
    /// The program inside the packages, for trimming them to what it reaches.
    pub const PROGRAM: &'static str = "usr/bin/qemu-system-x86_64";

    /// The firmware: code, then the template of its variables.
    const FIRMWARE: [&'static str; 2] = [
        "usr/share/OVMF/OVMF_CODE_4M.fd",
        "usr/share/OVMF/OVMF_VARS_4M.fd",
    ];

    /// The files that machines open besides the program and its libraries: the firmware, and what
    /// [`crate::Boot::Direct`] starts a kernel with.
    pub const DATA: [&'static str; 7] = [
        Self::FIRMWARE[0],
        Self::FIRMWARE[1],
        "usr/share/qemu/linuxboot_dma.bin",
        "usr/share/qemu/pvh.bin",
        "usr/share/qemu/qboot.rom",
        "usr/share/seabios/bios-256k.bin",
        "usr/share/seabios/bios-microvm.bin",
    ];

    /// Debian packages of trixie that hold the program, its libraries' closure and the firmware:
    /// half of what the package's `Depends` name. Network boot ROMs, keyboard maps and VGA
    /// BIOSes are not used.
    pub const PACKAGES: [&'static str; 49] = [
        "libaio1t64",
        "libatomic1",
        "libblkid1",
        "libbpf1",
        "libc6",
        "libcap2",
        "libcapstone5",
        "libdaxctl1",
        "libelf1t64",
        "libfdt1",
        "libffi8",
        "libfuse3-4",
        "libglib2.0-0t64",
        "libgmp10",
        "libgnutls30t64",
        "libhogweed6t64",
        "libibverbs1",
        "libidn2-0",
        "libjpeg62-turbo",
        "libkmod2",
        "libmount1",
        "libndctl6",
        "libnettle8t64",
        "libnl-3-200",
        "libnl-route-3-200",
        "libnuma1",
        "libp11-kit0",
        "libpcre2-8-0",
        "libpixman-1-0",
        "libpmem1",
        "libpng16-16t64",
        "librdmacm1t64",
        "libsasl2-2",
        "libseccomp2",
        "libselinux1",
        "libslirp0",
        "libssl3t64",
        "libtasn1-6",
        "libudev1",
        "libunistring5",
        "liburing2",
        "libuuid1",
        "libvdeplug2t64",
        "libzstd1",
        "ovmf",
        "qemu-system-data",
        "qemu-system-x86",
        "seabios",
        "zlib1g",
    ];

    /// A toolbox in an unpacked tree of [`Toolbox::PACKAGES`].
    ///
    /// # Errors
    /// [`MachineError::NoTool`] for the first file that is missing.
    pub fn new(root: &Path) -> Result<Self, MachineError> {
        let libraries = root.join(LIBRARIES);
        let [code, variables] = Self::FIRMWARE;
        let toolbox = Self {
            qemu: root.join(Self::PROGRAM),
            loader: Some((libraries.join("ld-linux-x86-64.so.2"), libraries)),
            data: ["usr/share/qemu", "usr/share/seabios"]
                .map(|folder| root.join(folder))
                .into(),
            firmware_code: root.join(code),
            firmware_variables: root.join(variables),
        };
        toolbox.check("fetch the virtual machine's packages again")
    }

    /// The machine's own QEMU, with firmware code and variable template of its own.
    ///
    /// # Errors
    /// [`MachineError::NoTool`] for the first file that is missing.
    pub fn from_paths(qemu: &Path, code: &Path, variables: &Path) -> Result<Self, MachineError> {
        let toolbox = Self {
            qemu: qemu.to_path_buf(),
            loader: None,
            data: Vec::new(),
            firmware_code: code.to_path_buf(),
            firmware_variables: variables.to_path_buf(),
        };
        toolbox.check("install QEMU and OVMF, or let nos use its own")
    }

    fn check(self, remedy: &'static str) -> Result<Self, MachineError> {
        let loader = self.loader.iter().map(|(loader, _)| loader);
        let files = [&self.qemu, &self.firmware_code, &self.firmware_variables];
        let missing = loader.chain(files).find(|file| !file.is_file()).cloned();
        match missing {
            Some(path) => Err(MachineError::NoTool { path, remedy }),
            None => Ok(self),
        }
    }

    /// The QEMU program.
    pub fn qemu(&self) -> &Path {
        &self.qemu
    }

    /// Firmware code, mapped read-only into the guest.
    pub fn firmware_code(&self) -> &Path {
        &self.firmware_code
    }

    /// Template of the firmware's variables.
    pub fn firmware_variables(&self) -> &Path {
        &self.firmware_variables
    }

    /// A command that runs QEMU with a clean environment, up to its own arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = match &self.loader {
            Some((loader, libraries)) => {
                let mut command = Command::new(loader);
                // A cache of the machine would name the machine's libraries.
                command.args(["--inhibit-cache", "--library-path"]);
                command.arg(libraries).arg(&self.qemu);
                command
            }
            None => Command::new(&self.qemu),
        };
        command.env_clear();
        for folder in &self.data {
            command.arg("-L").arg(folder);
        }
        command
    }

    /// What `qemu --version` says in its first line.
    ///
    /// # Errors
    /// [`MachineError::Spawn`] where it does not run.
    pub fn version(&self) -> Result<String, MachineError> {
        let output = self.command().arg("--version").output();
        let output = output.map_err(|error| MachineError::Spawn {
            program: self.qemu.clone(),
            error,
        })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

/// Doubles the commas of a path inside one of QEMU's option lists.
pub(crate) fn in_option(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = path.as_os_str().as_bytes().iter();
    let doubled = bytes.flat_map(|&b| std::iter::repeat_n(b, if b == b',' { 2 } else { 1 }));
    OsString::from_vec(doubled.collect())
}
