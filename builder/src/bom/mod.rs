//! What a system is made of, told from its plan and lock: nothing is scanned, nothing need be built.
//!
//! [`Inventory::of`] walks a plan from its products (images, kernel, boot loader) down to what was
//! pinned. [`spdx`] and [`cyclonedx`] write it in the two forms that other programs read;
//! [`provenance`] says of a built system what it was made from. All three are pure functions of
//! the spec, the lock, the lock files of Rust packages and this program: their time is that of the
//! newest signed index in the lock.

mod crates;
pub mod cyclonedx;
mod provenance;
mod purl;
pub mod spdx;

pub use crates::PinnedCrate;
pub(crate) use crates::of_build;
pub use provenance::{Material, provenance};

use crate::init;
use crate::plan::{ActionId, BOOT_PACKAGE, Plan, PlanError};
use crate::work::{Origin, Work};
use nos_specs::lock::{Lock, LockedPackage};
use nos_store::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// Time given where a lock names no signed index.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// Version of this program, which is also that of the `init` it carries.
pub const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything in one system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Host name.
    pub host: String,
    /// When the newest index was signed that pins come from, RFC 3339 in UTC.
    pub time: String,
    /// What the disk holds, each with the names of the [`Inventory::components`] in it; by name.
    pub products: BTreeMap<Product, BTreeSet<String>>,
    /// Pinned inputs by a name that is unique among them.
    pub components: BTreeMap<String, Component>,
    /// What `init` is made of and with.
    pub init: InitInputs,
}

/// What the `init` that travels with this program is made of and with, besides its crates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitInputs {
    /// Digest of the canonical listing of its source.
    pub source: Digest,
    /// The packages that it is compiled with, by name.
    pub toolchain: BTreeMap<String, LockedPackage>,
}

/// Something that the machine boots or mounts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    /// The boot loader and the stub of the unified kernel image.
    BootLoader,
    /// Kernel and modules.
    Kernel,
    /// PID 1.
    Init,
    /// The image of this name.
    Image(String),
}

impl Product {
    /// A name for people, unique within a system.
    pub fn name(&self) -> String {
        match self {
            Self::BootLoader => "boot loader".into(),
            Self::Kernel => "kernel".into(),
            Self::Init => "init".into(),
            Self::Image(name) => format!("image {name}"),
        }
    }
}

/// One pinned input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// A Debian package.
    Debian {
        /// Its name.
        name: String,
        /// Version, digest and place.
        pin: LockedPackage,
    },
    /// The `init` that travels with this program.
    Init {
        /// SHA-256 of the executable; `None` where it has yet to be made.
        sha256: Option<Digest>,
    },
    /// A crate.
    Crate(PinnedCrate),
    /// A file from the network, fixed by its digest.
    Fetched {
        /// Where it is.
        url: String,
        /// Its SHA-256, 64 hexadecimal digits.
        sha256: String,
    },
    /// A container image.
    Container {
        /// Its address in a registry; `None` where it is beside the spec.
        url: Option<String>,
        /// SHA-256 of its manifest or index, 64 hexadecimal digits; of an archive without one its
        /// own. `None` where it was not read.
        sha256: Option<String>,
    },
    /// A commit of a git repository.
    Commit {
        /// Where the repository is.
        url: String,
        /// Name of the commit.
        commit: String,
    },
    /// A file, folder or text of the spec. What is in it is known once it has been read, so an
    /// inventory names it without a digest; [`provenance`] has the digest.
    Local {
        /// `file PATH`, `folder PATH` or `text PATH`, as in the plan.
        label: String,
    },
}

/// What only the inputs of a plan tell, by the action that brings them.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// The crates of lock files.
    pub crates: BTreeMap<ActionId, Vec<PinnedCrate>>,
    /// Digests of container images beside the spec.
    pub images: BTreeMap<ActionId, Digest>,
}

impl Inventory {
    /// The inventory of a planned system.
    ///
    /// # Errors
    /// As [`init::toolchain`].
    pub fn of(host: &str, plan: &Plan, lock: &Lock, read: &Read) -> Result<Self, PlanError> {
        let time = lock.suites.values().map(|pin| pin.date.as_str()).max();
        let mut inventory = Self {
            host: host.to_string(),
            time: time.unwrap_or(NO_TIME).to_string(),
            products: BTreeMap::new(),
            components: BTreeMap::new(),
            init: InitInputs {
                source: init::source_digest()?,
                toolchain: init::toolchain()?.packages,
            },
        };
        for (id, action) in plan.iter() {
            match &action.work {
                Work::Image { name } => {
                    inventory.product(Product::Image(name.clone()), plan, id, read);
                }
                Work::Kernel { .. } | Work::MinimalKernel { .. } => {
                    inventory.product(Product::Kernel, plan, id, read);
                }
                Work::ShippedInit { sha256 } => inventory.init(Some(*sha256)),
                Work::MadeInit { expected } => inventory.init(*expected),
                Work::Unpack { name, .. } if name == BOOT_PACKAGE => {
                    inventory.product(Product::BootLoader, plan, id, read);
                }
                _ => {}
            }
        }
        Ok(inventory)
    }

    fn init(&mut self, sha256: Option<Digest>) {
        let component = Component::Init { sha256 };
        self.add(Product::Init, "nos-init".into(), component);
        for pinned in crates::of_init() {
            self.add_crate(Product::Init, pinned);
        }
    }

    fn add_crate(&mut self, product: Product, pinned: PinnedCrate) {
        let mut name = format!("crate {} {}", pinned.name, pinned.version);
        // Another crate than the usual registry's of that name.
        if let Some((url, commit)) = &pinned.commit {
            name = format!("{name} of {url}@{commit}");
        } else if let Some(registry) = &pinned.registry {
            name = format!("{name} of {registry}");
        }
        // A licence that one of its users' sources told is not forgotten for another that does not.
        let known = match self.components.get(&name) {
            Some(Component::Crate(known)) => known.licence.clone(),
            _ => None,
        };
        let licence = pinned.licence.or(known);
        let component = Component::Crate(PinnedCrate { licence, ..pinned });
        self.add(product, name, component);
    }

    fn add(&mut self, product: Product, name: String, component: Component) {
        self.products
            .entry(product)
            .or_default()
            .insert(name.clone());
        self.components.insert(name, component);
    }

    /// Adds a product with every pinned input that the action reaches.
    fn product(&mut self, product: Product, plan: &Plan, action: ActionId, read: &Read) {
        self.products.entry(product.clone()).or_default();
        for id in reached(plan, action) {
            for pinned in read.crates.get(&id).into_iter().flatten() {
                self.add_crate(product.clone(), pinned.clone());
            }
            for (name, component) in components(plan, id, read) {
                self.add(product.clone(), name, component);
            }
        }
    }
}

/// An action and all that it reads, directly or not.
fn reached(plan: &Plan, from: ActionId) -> BTreeSet<ActionId> {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(ActionId(index)) = open.pop() {
        let inputs = plan.actions.get(index).map(|action| &action.inputs);
        open.extend(inputs.into_iter().flatten().filter(|id| seen.insert(**id)));
    }
    seen
}

/// The pinned inputs that an action brings, with their names among components.
fn components(plan: &Plan, id: ActionId, read: &Read) -> Vec<(String, Component)> {
    let Some(action) = plan.actions.get(id.0) else {
        return Vec::new();
    };
    vec![match &action.work {
        Work::Unpack { name, pin } => {
            let component = Component::Debian {
                name: name.clone(),
                pin: pin.clone(),
            };
            (name.clone(), component)
        }
        // Each of its archives has a digest of its own.
        Work::DebianSource { package, pin, .. } => {
            let files = pin.pins().map(|(file, pin)| {
                let name = package.clone();
                (file, Component::Debian { name, pin })
            });
            return files.collect();
        }
        Work::Fetch(fetch) => {
            let component = Component::Fetched {
                url: fetch.url.clone(),
                sha256: fetch.sha256.clone(),
            };
            (fetch.url.clone(), component)
        }
        Work::Pull { url, sha256 } => {
            let component = Component::Container {
                url: Some(url.clone()),
                sha256: Some(sha256.clone()),
            };
            (format!("{url}@{sha256}"), component)
        }
        Work::Git(git, _) => {
            let component = Component::Commit {
                url: git.url.clone(),
                commit: git.commit.clone(),
            };
            (format!("{}@{}", git.url, git.commit), component)
        }
        Work::Source(Origin::Any(_)) => {
            let component = Component::Container {
                url: None,
                sha256: read.images.get(&id).map(ToString::to_string),
            };
            (action.label.clone(), component)
        }
        Work::Source(_) => {
            let label = action.label.clone();
            (label.clone(), Component::Local { label })
        }
        _ => return Vec::new(),
    }]
}

#[cfg(test)]
mod tests;
