//! Kernel modules: those of every machine, and those whose devices this machine has.
//!
//! One look at the buses at the start, then the kernel's own news of devices that came: a bus
//! driver that was just loaded, or a disk that answers late, brings devices whose drivers are
//! loaded next. Nothing is looked at that no module waits for.

pub mod devices;
pub mod pattern;

use crate::cmdline;
use crate::disk::uevent::Device;
use crate::sys::{self, Errno, Fd, file, socket};
use crate::{debug, say};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use nos_manifest::Module;

/// What the kernel told about devices that were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct News {
    /// A network interface came.
    pub net: bool,
    /// An input device came.
    pub input: bool,
    /// Something in `/dev` came or went.
    pub nodes: bool,
}

impl News {
    fn add(&mut self, more: Self) {
        self.net |= more.net;
        self.input |= more.input;
        self.nodes |= more.nodes;
    }
}

/// When a module's time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Before the images are opened.
    Early,
    /// When the services run.
    Late,
    /// Before the images are opened, and only where there is a trial.
    Trial,
}

/// A module that is not loaded yet.
#[derive(Debug)]
struct Waiting {
    module: Module,
    stage: Stage,
    is_wanted: bool,
}

/// The modules of the initramfs that are not loaded yet, in loading order.
#[derive(Debug)]
pub struct Loader {
    waiting: Vec<Waiting>,
    /// Modules whose devices are there, or that are loaded on every machine.
    present: BTreeSet<String>,
    /// The last stage whose time has come.
    stage: Stage,
}

impl Loader {
    /// A loader that knows of no devices yet. Modules of `late` wait for [`Loader::load_late`],
    /// those of `trial` for [`Loader::load_all`].
    pub fn new(early: Vec<Module>, late: Vec<Module>, trial: Vec<Module>) -> Self {
        let stages = [
            (Stage::Early, early),
            (Stage::Late, late),
            (Stage::Trial, trial),
        ];
        let waiting = stages.into_iter().flat_map(|(stage, modules)| {
            modules.into_iter().map(move |module| Waiting {
                is_wanted: module.is_always(),
                stage,
                module,
            })
        });
        let mut loader = Self {
            waiting: waiting.collect(),
            present: BTreeSet::new(),
            stage: Stage::Early,
        };
        for waiting in loader.waiting.iter().filter(|w| w.is_wanted) {
            loader.present.insert(waiting.module.name.clone());
        }
        loader.want_needed();
        loader
    }

    /// Looks at all devices on the buses that some module waits for.
    pub fn look_around(&mut self) {
        let is_due = |w: &&Waiting| !w.is_wanted && w.stage <= self.stage;
        let modules = self.waiting.iter().filter(is_due);
        let patterns = modules.flat_map(|w| &w.module.devices);
        let buses: BTreeSet<&str> = patterns.map(|pattern| devices::bus_of(pattern)).collect();
        let found: BTreeSet<String> = buses.into_iter().flat_map(devices::on_bus).collect();
        for device in &found {
            self.device_came(device);
        }
        self.want_needed();
    }

    /// Notes the modules that a device asks for by its description.
    fn device_came(&mut self, device: &str) {
        for waiting in self.waiting.iter().filter(|w| !w.is_wanted) {
            let module = &waiting.module;
            let mut patterns = module.devices.iter();
            if patterns.any(|pattern| pattern::matches(pattern.as_bytes(), device.as_bytes())) {
                self.present.insert(module.name.clone());
            }
        }
    }

    /// Wants what is present and what goes with it.
    fn want_needed(&mut self) {
        for Waiting {
            module, is_wanted, ..
        } in &mut self.waiting
        {
            let mut causes = core::iter::once(&module.name).chain(&module.with);
            *is_wanted |= causes.any(|cause| self.present.contains(cause));
        }
    }

    /// Takes the kernel's news of devices, and notes the modules that they ask for.
    fn take_news(&mut self, devices: &Fd) -> News {
        let mut buffer = [0_u8; 4096];
        let mut news = News::default();
        loop {
            match socket::receive_netlink(devices, &mut buffer) {
                Ok(n) => {
                    let device = Device::parse(buffer.get(..n).unwrap_or_default());
                    news.nodes |= !device.name.is_empty();
                    if device.action != "add" {
                        continue;
                    }
                    news.net |= device.subsystem == "net";
                    news.input |= device.subsystem == "input";
                    if !device.description.is_empty() {
                        self.device_came(device.description);
                    }
                }
                // More came at once than the kernel kept for us.
                Err(Errno(libc::ENOBUFS)) => {
                    news.nodes = true;
                    self.look_around();
                }
                Err(_) => break,
            }
        }
        self.want_needed();
        news
    }

    /// Takes the kernel's news of devices and loads what is wanted by now, each module followed
    /// by a call of `after_each`; devices that appear by that count too.
    pub fn load(&mut self, devices: &Fd, mut after_each: impl FnMut()) -> News {
        let mut news = self.take_news(devices);
        while let Some(next) = self.next() {
            load(&next);
            after_each();
            news.add(self.take_news(devices));
        }
        news
    }

    /// The first module that is wanted by now. A device may have come that asks for one of an
    /// earlier place than the last one's, so the search begins anew each time.
    fn next(&mut self) -> Option<Module> {
        let is_due = |w: &Waiting| w.is_wanted && w.stage <= self.stage;
        let index = self.waiting.iter().position(is_due)?;
        Some(self.waiting.remove(index).module)
    }

    /// Loads what else would be loaded when services run.
    pub fn load_what_can_wait(&mut self, devices: &Fd) {
        self.stage = self.stage.max(Stage::Late);
        self.look_around();
        self.load(devices, || {});
    }

    /// Loads everything that this machine has a device for, whatever its time.
    pub fn load_all(&mut self, devices: &Fd) {
        self.stage = Stage::Trial;
        self.look_around();
        self.load(devices, || {});
    }

    /// Loads the modules that nobody waits for, then gives back the memory of the files of all
    /// those that this machine has no device for. What comes from now on is not served.
    pub fn load_late(&mut self, devices: &Fd) -> News {
        self.stage = self.stage.max(Stage::Late);
        let news = self.load(devices, || {});
        debug!("{} modules are for other machines", self.waiting.len());
        for Waiting { module, .. } in self.waiting.drain(..) {
            let _ = file::remove(&module.path());
        }
        self.present.clear();
        news
    }
}

/// Loads one module and gives its file's memory back. A module that is there already or finds
/// nothing to drive is fine; of others it is said that they cannot be loaded, and what needs
/// them will fail with a message of its own.
fn load(module: &Module) {
    let path = module.path();
    let is_compressed = !module.compression.is_empty();
    let command_line = file::read_text("/proc/cmdline").unwrap_or_default();
    let parameters = cmdline::parameters(&command_line, &module.name);
    let loaded = file::open(&path, file::Mode::Read)
        .and_then(|fd| sys::module::load(&fd, is_compressed, &parameters));
    match loaded {
        Ok(()) => debug!("module {}", module.name),
        Err(Errno(libc::EEXIST)) => debug!("module {} is there already", module.name),
        Err(Errno(libc::ENODEV)) => debug!("module {} is not for this machine", module.name),
        Err(error) => say!("module {} cannot be loaded: {error}", module.name),
    }
    let _ = file::remove(&path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, devices: &[&str], with: &[&str]) -> Module {
        let texts = |texts: &[&str]| texts.iter().map(|text| String::from(*text)).collect();
        Module {
            name: name.into(),
            compression: String::new(),
            devices: texts(devices),
            with: texts(with),
        }
    }

    fn loader() -> Loader {
        let early = vec![
            module("bus", &[], &[]),
            module("core", &[], &["disk", "other"]),
            module("disk", &["nosbus:d1*"], &[]),
            module("other", &["nosbus:d2*"], &[]),
            module("helper", &[], &["bus"]),
        ];
        let trial = vec![module("watchdog", &["nosbus:w*"], &[])];
        Loader::new(early, vec![module("late", &[], &[])], trial)
    }

    fn rest(loader: &mut Loader) -> Vec<String> {
        core::iter::from_fn(|| loader.next().map(|m| m.name)).collect()
    }

    fn news(loader: &mut Loader, device: &str) {
        loader.device_came(device);
        loader.want_needed();
    }

    #[test]
    fn without_devices_only_what_every_machine_needs_is_loaded() {
        let mut loader = loader();
        loader.look_around();
        assert_eq!(rest(&mut loader), ["bus", "helper"]);
        loader.stage = Stage::Late;
        news(&mut loader, "nosbus:w1");
        assert_eq!(rest(&mut loader), ["late"]);
        loader.stage = Stage::Trial;
        assert_eq!(rest(&mut loader), ["watchdog"]);
    }

    #[test]
    fn a_device_that_comes_brings_what_its_driver_needs_in_order() {
        let mut loader = loader();
        assert_eq!(loader.next().unwrap().name, "bus");
        news(&mut loader, "nosbus:d1v7");
        news(&mut loader, "elsewhere:d2v7");
        assert_eq!(rest(&mut loader), ["core", "disk", "helper"]);
        news(&mut loader, "nosbus:d2");
        assert_eq!(rest(&mut loader), ["other"]);
        news(&mut loader, "nosbus:d2");
        assert!(rest(&mut loader).is_empty());
    }
}
