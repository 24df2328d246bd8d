//! Why a kernel of a host's own has an option.

use super::{Configuration, read_calls, sets};
use crate::build::Session;
use crate::error::BuildError;
use crate::plan::plan;
use crate::realise::survey;
use crate::work::Work;
use nos_specs::lock::Lock;
use nos_specs::system::{Kernel, System};
use std::fmt;

/// Something that asks for an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The kernel's block in the spec, which overrules all else.
    Spec,
    /// The host.
    Host {
        /// What of it, in words that complete "it is for …".
        what: &'static str,
    },
    /// A capability or a device that a service declares.
    Service {
        /// The service.
        service: String,
        /// The capability or the device.
        name: &'static str,
    },
    /// A program.
    Program {
        /// The image that it is in.
        image: String,
        /// Its path there.
        path: String,
        /// How it shows: `imports epoll_create1`.
        how: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec => f.write_str("the kernel's options in the spec set it"),
            Self::Host { what } => write!(f, "it is for {what}"),
            Self::Service { service, name } => write!(f, "service {service} has {name}"),
            Self::Program { image, path, how } => write!(f, "image {image}: {path} {how}"),
        }
    }
}

impl Session<'_> {
    /// What asks for an option of the kernel of `system`, sorted; empty where nothing does, and for
    /// kernels that Debian built. Programs are read as they are in a built system.
    ///
    /// # Errors
    /// [`BuildError`] where no plan can be made or the store cannot be read.
    pub fn causes(
        &self,
        system: &System,
        lock: &Lock,
        option: &str,
    ) -> Result<Vec<Cause>, BuildError> {
        let Kernel::Minimal {
            platform, options, ..
        } = &system.kernel
        else {
            return Ok(Vec::new());
        };
        let mut causes = Vec::new();
        if options.contains_key(option) {
            causes.push(Cause::Spec);
        }
        let has_state = system.disk.state_bytes.is_some();
        for (what, set) in sets::of(*platform, super::has_network(system), has_state) {
            let mut alone = Configuration::default();
            alone.add(set);
            if alone.0.contains_key(option) {
                causes.push(Cause::Host { what });
            }
        }
        for service in &system.services {
            let sets = sets::of_declared(&service.capabilities, &service.devices);
            for (name, _) in sets
                .into_iter()
                .filter(|(_, set)| set.contains(&format!("{option}=")))
            {
                causes.push(Cause::Service {
                    service: service.name.clone(),
                    name,
                });
            }
        }
        let plan = plan(system, lock)?;
        let known = survey(&self.builder(), &plan)?;
        let of_images = plan
            .iter()
            .filter(|(_, action)| matches!(action.work, Work::Calls));
        for ((id, _), image) in of_images.zip(system.images.keys()) {
            let done = known
                .get(&id)
                .ok_or(BuildError::MissingOutput { name: "file" })?;
            let calls = read_calls(&self.builder(), &done.result)?;
            if !calls
                .options(&super::capabilities(system, image))
                .contains(option)
            {
                continue;
            }
            for (path, how) in calls.0.get(option).into_iter().flatten() {
                causes.push(Cause::Program {
                    image: image.clone(),
                    path: path.clone(),
                    how: how.clone(),
                });
            }
        }
        causes.sort();
        causes.dedup();
        Ok(causes)
    }
}
