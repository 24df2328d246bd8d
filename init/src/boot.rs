//! From the kernel's first call of init to started services.

use crate::cmdline::Options;
use crate::disk::find::Partition;
use crate::disk::home::{self, Home};
use crate::disk::{find, state, verity};
use crate::machine::Machine;
use crate::modules::Loader;
use crate::net::bring_up::{self, Network};
use crate::net::resolv;
use crate::service::devices;
use crate::service::spawn::{IMAGES, STATE};
use crate::service::supervisor::{self, Supervisor};
use crate::sys::mount::{self, DATA_ONLY, NO_DEVICES, READ_ONLY};
use crate::sys::process;
use crate::sys::socket::{self, Netlink};
use crate::sys::{self, Errno, Fd, file, wait};
use crate::trace::Tracer;
use crate::trial::Guard;
use crate::{debug, log, say};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use nos_manifest::{Image, MANIFEST_PATH, ManifestError, STATE_TYPE_GUID, SystemManifest};

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// Where init's own root is moved to become a mount of its own.
const ROOT: &str = "/nos/root";

/// Why a machine cannot start its services.
#[derive(Debug)]
pub enum BootError {
    /// A step of the kernel's failed.
    Kernel {
        /// What was to be done.
        what: String,
        /// What the kernel said.
        error: Errno,
    },
    /// The manifest cannot be used.
    Manifest(ManifestError),
    /// Images whose partitions are on no disk.
    Missing(Vec<String>),
    /// One image cannot be opened.
    Image {
        /// Its name.
        name: String,
        /// Its partition, as the kernel names it.
        partition: String,
        /// What was to be done.
        what: &'static str,
        /// What the kernel said.
        error: Errno,
    },
    /// The disk has no state partition.
    NoState,
    /// Disks that are copies of each other, and state is on one of them.
    Copies(Vec<String>),
    /// The disk that the machine was started from, by the GUID of its EFI system partition.
    NoHome(String),
}

impl core::fmt::Display for BootError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Kernel { what, error } => write!(f, "{what}: {error}"),
            Self::Manifest(error) => write!(f, "{error}"),
            Self::Missing(images) => write!(
                f,
                "no disk has the image {}; boot another generation, or install this one again",
                images.join(", ")
            ),
            Self::Image {
                name,
                partition,
                what,
                error,
            } => write!(
                f,
                "image {name} on {partition}: {what}: {error}; \
                 run `nos verify` on the disk, then install this generation again"
            ),
            Self::Copies(disks) => write!(
                f,
                "the disks {} are copies of each other, and which of them this machine was started \
                 from is not to be found out; take the others out, so that state is written to the \
                 right one",
                disks.join(", ")
            ),
            Self::NoHome(guid) => write!(
                f,
                "the disk that this machine was started from (PARTUUID {guid}) has not appeared; \
                 its driver may be missing from the kernel"
            ),
            Self::NoState => write!(
                f,
                "the disk has no state partition, which this system needs; \
                 install it on a disk made for it"
            ),
        }
    }
}

impl core::error::Error for BootError {}

/// Result of a step of the boot.
type Result<T> = core::result::Result<T, BootError>;

fn at(what: &str) -> impl FnOnce(Errno) -> BootError {
    let what = String::from(what);
    move |error| BootError::Kernel { what, error }
}

/// Brings the machine up to where its services can be started; `begun_ns` is when init began.
///
/// # Errors
/// What makes the machine useless; everything else is said and survived.
pub fn boot(begun_ns: u64) -> Result<Machine> {
    let signals = wait::signals().map_err(at("signals"))?;
    // Modes mean what they say; services get a mask of their own.
    process::set_umask(0);
    mount_kernel_file_systems()?;
    let _ = log::open_console();
    let command_line = file::read_text("/proc/cmdline").unwrap_or_default();
    let options = Options::parse(&command_line);
    log::set_debug(options.debug);
    debug!("init began at {} ms", begun_ns / 1_000_000);

    let bytes = file::read_file(&format!("/{MANIFEST_PATH}"), MAX_MANIFEST_BYTES)
        .map_err(at(&format!("/{MANIFEST_PATH}")))?;
    let mut manifest = SystemManifest::from_bytes(&bytes).map_err(BootError::Manifest)?;
    drop(bytes);
    sys::set_host_name(&manifest.host).map_err(at("host name"))?;
    if let Err(error) = sys::reboot(sys::Reboot::DeliverKeys) {
        debug!("ctrl-alt-del is not ours: {error}");
    }
    make_shared_files(&manifest.host)?;
    let devices = socket::netlink(Netlink::Devices).map_err(at("device events"))?;
    let mut network =
        Network::start(manifest.network.clone(), &manifest.host).map_err(at("loopback network"))?;
    let early = core::mem::take(&mut manifest.modules);
    let late = core::mem::take(&mut manifest.late_modules);
    let mut modules = Loader::new(early, late, core::mem::take(&mut manifest.trial_modules));
    modules.look_around();
    debug!("devices known");
    // Also when a disk came: it may be behind a device whose driver waits for it.
    let load = |modules: &mut Loader, network: &mut Network| {
        modules.load(&devices, || {
            // The network's answers travel while the modules for the disks are loaded.
            network.look_for_interface();
            network.receive(sys::now_ns() / 1_000_000);
        });
    };
    load(&mut modules, &mut network);
    debug!("modules loaded");

    let boot_loader = home::ask(&mut modules, &devices);
    let images = &manifest.images;
    let found = find_images(images, boot_loader.as_deref(), &devices, || {
        load(&mut modules, &mut network);
    })?;
    let home = home::of(boot_loader.as_deref(), &found);
    debug!("started from {home:?}");
    let guard = Guard::look(&home, &mut modules, &devices);
    open_images(&manifest.images, &found, home.disk())?;
    if manifest.state {
        mount_state(&home)?;
    }
    let tracer = match options.trace {
        true => Tracer::start(&manifest.images),
        false => None,
    };
    for name in supervisor::unknown_names(&manifest.services) {
        say!("a service comes after {name}, which does not exist");
    }
    let machine = Machine::new(
        begun_ns, signals, devices, network, modules, guard, manifest,
    );
    Ok(machine.traced_by(tracer))
}

/// Mounts what the kernel shows, and makes init's root a mount that [`sys::mount::pivot_here`]
/// accepts as an old root (the first root of all cannot be one).
fn mount_kernel_file_systems() -> Result<()> {
    for directory in ["/nos", ROOT, "/dev", "/proc", "/sys"] {
        file::make_dir(directory, 0o755).map_err(at(directory))?;
    }
    mount::mount("/", ROOT, "", libc::MS_BIND, "").map_err(at(ROOT))?;
    mount::change_dir(ROOT).map_err(at(ROOT))?;
    mount::mount(".", "/", "", libc::MS_MOVE, "").map_err(at("/"))?;
    mount::root_here().map_err(at("/"))?;
    let devices = libc::MS_NOSUID | libc::MS_NOEXEC;
    mount::mount("dev", "/dev", "devtmpfs", devices, "mode=0755").map_err(at("/dev"))?;
    mount::mount("proc", "/proc", "proc", DATA_ONLY, "").map_err(at("/proc"))?;
    mount::mount("sys", "/sys", "sysfs", DATA_ONLY, "").map_err(at("/sys"))
}

/// Makes what every service sees of the machine: devices, name servers, host names.
fn make_shared_files(host: &str) -> Result<()> {
    for directory in ["/nos/etc", IMAGES, STATE] {
        file::make_dir(directory, 0o755).map_err(at(directory))?;
    }
    devices::make_shared().map_err(at("/nos/dev"))?;
    file::write_file("/nos/etc/hosts", resolv::hosts(host).as_bytes())
        .and_then(|()| file::write_file(bring_up::RESOLV_CONF, b""))
        .map_err(at("/nos/etc"))
}

/// Finds the partition of every image, and the one that the boot loader came from where that is
/// known; what is not there within a time is left out. `take_news` is called when the kernel has
/// reported devices.
fn find_images(
    images: &[Image],
    boot_loader: Option<&str>,
    devices: &Fd,
    take_news: impl FnMut(),
) -> Result<Vec<Partition>> {
    let mut guids = Vec::new();
    for image in images {
        guids.push(guid_of(image)?);
    }
    guids.extend(boot_loader.map(String::from));
    if guids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(find::wait_for(&guids, devices, take_news))
}

fn guid_of(image: &Image) -> Result<String> {
    image.part_uuid().ok_or_else(|| BootError::Image {
        name: image.name.clone(),
        partition: "no disk".to_string(),
        what: "its root hash is not 64 hexadecimal digits",
        error: Errno(libc::EINVAL),
    })
}

/// Opens and mounts every image, from the disk that the machine was started from where that has it:
/// another one may be taken out.
fn open_images(images: &[Image], partitions: &[Partition], home: Option<&str>) -> Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    let control = verity::control().map_err(at("device mapper"))?;
    let mut missing = Vec::new();
    for image in images {
        let guid = guid_of(image)?;
        let mut holders = partitions.iter().filter(|p| p.unique_guid == guid);
        let at_home = holders.clone().find(|p| Some(p.disk.as_str()) == home);
        let Some(partition) = at_home.or_else(|| holders.next()) else {
            missing.push(format!("{} (PARTUUID {guid})", image.name));
            continue;
        };
        let failed = |what| {
            let (name, partition) = (image.name.clone(), format!("/dev/{}", partition.name));
            move |error| BootError::Image {
                name,
                partition,
                what,
                error,
            }
        };
        let device = partition.device().map_err(failed("its device number"))?;
        let verified =
            verity::open(&control, image, &device).map_err(failed("opening it with dm-verity"))?;
        let target = format!("{IMAGES}/{}", image.name);
        file::make_dir(&target, 0o755).map_err(failed("its mount point"))?;
        mount::mount(&verified, &target, "erofs", READ_ONLY, "").map_err(failed(
            "mounting it (its content may not match its root hash)",
        ))?;
        debug!("image {} is {} of {}", image.name, verified, partition.name);
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(BootError::Missing(missing))
    }
}

/// Mounts the state partition of the disk that the machine was started from, and of no other.
fn mount_state(home: &Home) -> Result<()> {
    let disk = match home {
        Home::Disk(disk) => disk,
        Home::OneOf(disks) if disks.is_empty() => return Err(BootError::NoState),
        Home::OneOf(disks) => return Err(BootError::Copies(disks.clone())),
        Home::Absent(guid) => return Err(BootError::NoHome(guid.clone())),
    };
    let (_, table) = find::table_of(disk).map_err(at(&format!("partition table of {disk}")))?;
    let entry = table.iter().find(|p| p.type_guid == STATE_TYPE_GUID);
    let number = entry.ok_or(BootError::NoState)?.number;
    let partitions = find::partitions();
    let mut partitions = partitions.iter();
    let partition = partitions
        .find(|p| p.disk == *disk && p.number == number)
        .ok_or(BootError::NoState)?;
    let device = format!("/dev/{}", partition.name);
    let flags = NO_DEVICES | libc::MS_NOATIME;
    let what = format!("mounting the state partition {device} as ext4");
    debug!("state is {device}");
    mount::mount(&device, STATE, "ext4", flags, "").map_err(at(&what))?;
    match state::grow(&partition.name, STATE) {
        Ok(Some((old, new))) => {
            say!("state has grown from {} to {} MiB", old >> 20, new >> 20);
        }
        Ok(None) => {}
        Err(error) => say!("the file system on {device} cannot grow: {error}"),
    }
    Ok(())
}

/// Makes the supervisor of the manifest's services.
pub(crate) fn supervisor(manifest: &mut SystemManifest) -> Supervisor {
    Supervisor::new(core::mem::take(&mut manifest.services))
}
