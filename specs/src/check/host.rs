//! Host blocks → systems, and what only a host as a whole can get wrong.

use super::conform::arguments;
use super::service::ServiceParts;
use super::{Checker, Mention, MentionKind, unsigned};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::eval::value::{BlockId, Fields, Value, ValueKind};
use crate::schema::{self, defaults};
use crate::source::Span;
use crate::system::{
    Debian, DiskLayout, Image, Kernel, Platform, System, VirtualMachine, assign_users,
};
use nos_manifest::{Network, Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Room that one generation needs on the EFI system partition: Debian's kernel with our init.
const KERNEL_BYTES: u64 = 99 << 17;

/// The same with the drivers of real hardware.
const LARGE_KERNEL_BYTES: u64 = 16 << 20;

/// A kernel of the host's own, also with the drivers of real hardware.
const MINIMAL_KERNEL_BYTES: u64 = 6 << 20;

/// What the EFI system partition needs besides: the boot loader and the file system itself.
const ESP_OVERHEAD_BYTES: u64 = 2 << 20;

/// Whether a kernel carries the drivers of real hardware.
fn is_large(kernel: &Kernel) -> bool {
    matches!(kernel, Kernel::Stock { package, .. } if !package.contains("cloud"))
}

/// Room that one generation needs on the EFI system partition.
fn kernel_bytes(kernel: &Kernel) -> u64 {
    match kernel {
        Kernel::Minimal { .. } => MINIMAL_KERNEL_BYTES,
        stock if is_large(stock) => LARGE_KERNEL_BYTES,
        _ => KERNEL_BYTES,
    }
}

/// A service of a host: its block, where the host names it, and what it is.
pub(super) type Runs = (BlockId, Span, Rc<ServiceParts>);

impl Checker<'_> {
    /// The system that a host block declares; `None` where it is wrong and that is reported.
    pub(super) fn host(&mut self, id: BlockId) -> Option<System> {
        let fields = self.fields(id);
        let wanted: Vec<(BlockId, Span)> = fields
            .get("services")
            .map_or(&[][..], Value::elements)
            .iter()
            .filter_map(|value| Some((value.as_block()?, value.span)))
            .collect();
        // A wrong service is reported once, as itself, and then the host is passed over.
        let mut runs: Vec<Runs> = Vec::new();
        for (service, span) in &wanted {
            if let Some(parts) = self.in_block(id, |checker| checker.service(*service)) {
                runs.push((*service, *span, parts));
            }
        }
        let complete = runs.len() == wanted.len();
        self.in_block(id, |checker| {
            checker.host_parts(id, &fields, &runs, complete)
        })
    }

    fn host_parts(
        &mut self,
        id: BlockId,
        fields: &Fields,
        runs: &[Runs],
        complete: bool,
    ) -> Option<System> {
        let host = self.evaluator.block(id).name.to_string();
        let name_span = self.evaluator.block(id).name_span;
        self.distinct_names(runs);
        self.distinct_ports(runs);
        self.distinct_terminals(runs);
        self.distinct_users(runs);
        if complete {
            self.channels(runs);
        }
        let kernel = self.kernel(fields);
        let disk = self.disk(fields, &kernel, name_span);
        if disk.state_bytes.is_none() {
            let place = fields
                .field("disk")
                .map_or(name_span, |field| field.name_span);
            self.needs_state(runs, place);
        }
        let machine = self.machine(fields, runs, complete);
        let order = if complete {
            self.start_order(runs)
        } else {
            None
        };
        let mut services: Vec<_> = order?
            .into_iter()
            .map(|index| runs[index].2.service.clone())
            .collect();
        assign_users(&mut services);
        let images: BTreeMap<String, Image> = runs
            .iter()
            .map(|(_, _, parts)| (parts.service.image.clone(), parts.image.clone()))
            .collect();
        let builds = runs
            .iter()
            .flat_map(|(_, _, parts)| parts.builds.iter().copied())
            .collect();
        let builds = self.builds_of(builds)?;
        Some(System {
            host,
            kernel,
            images,
            builds,
            services,
            network: network(fields.get("network")),
            disk,
            debian: debian(fields),
            machine,
        })
    }

    fn kernel(&mut self, fields: &Fields) -> Kernel {
        let block = fields.get("kernel").and_then(Value::as_block);
        let fields = block.map(|block| self.fields(block)).unwrap_or_default();
        for name in ["package", "source"] {
            if let Some(package) = fields.get(name) {
                self.mention(package, MentionKind::Package);
            }
        }
        let cmdline = fields.get("cmdline").map(Value::texts).unwrap_or_default();
        self.one_kernel(&fields);
        let text = |name, default: &str| {
            let text = fields.get(name).and_then(Value::as_text);
            text.unwrap_or(default).to_owned()
        };
        let platform = fields.get("platform").and_then(Value::as_word);
        let platform =
            platform.and_then(|word| Platform::ALL.into_iter().find(|p| p.name() == word));
        let Some(platform) = platform else {
            return Kernel::Stock {
                package: text("package", defaults::KERNEL_PACKAGE),
                modules: fields.get("modules").map(Value::texts).unwrap_or_default(),
                cmdline,
            };
        };
        let mut options = BTreeMap::new();
        let none = Fields::default();
        let named = fields.get("options").and_then(Value::as_record);
        for field in named.unwrap_or(&none).iter() {
            self.mentions.push(Mention {
                kind: MentionKind::KernelOption,
                name: field.name.to_string(),
                span: field.name_span.to(field.value.span),
                image: String::new(),
            });
            let value = field.value.as_text().unwrap_or_default();
            options.insert(field.name.to_string(), value.to_owned());
        }
        Kernel::Minimal {
            platform,
            source: text("source", defaults::KERNEL_SOURCE),
            options,
            cmdline,
        }
    }

    /// Reports attributes of a kernel block that only the other kind of kernel has.
    fn one_kernel(&mut self, fields: &Fields) {
        let (wrong, help, label) = match fields.field("platform") {
            Some(platform) => (
                ["package", "modules"],
                "take it out, or take out `platform` and with it `source` and `options`",
                Some((platform.name_span, "this builds a kernel from source")),
            ),
            None => (
                ["source", "options"],
                "say what the kernel runs on: `platform = qemu`",
                None,
            ),
        };
        for name in wrong {
            let Some(field) = fields.field(name) else {
                continue;
            };
            let message = match label {
                Some(_) => format!("`{name}` is for kernels that Debian has built"),
                None => format!("`{name}` is for kernels with a `platform`"),
            };
            let diagnostic = Diagnostic::new(codes::TWO_KERNELS, field.name_span, message, help);
            self.report(match label {
                Some((span, text)) => diagnostic.label(span, text),
                None => diagnostic,
            });
        }
    }

    fn disk(&mut self, fields: &Fields, kernel: &Kernel, name_span: Span) -> DiskLayout {
        let none = Fields::default();
        let disk = fields
            .get("disk")
            .and_then(Value::as_record)
            .unwrap_or(&none);
        let bytes = |name| unsigned(disk.get(name));
        let keep = bytes("keep").and_then(|keep| u32::try_from(keep).ok());
        let layout = DiskLayout {
            esp_bytes: bytes("esp").unwrap_or(match is_large(kernel) {
                true => defaults::LARGE_ESP_BYTES,
                false => defaults::ESP_BYTES,
            }),
            state_bytes: bytes("state"),
            spare_bytes: bytes("spare").unwrap_or(defaults::SPARE_BYTES),
            keep: keep.unwrap_or(defaults::KEEP),
        };
        let kernel_bytes = kernel_bytes(kernel);
        let needed = ESP_OVERHEAD_BYTES + kernel_bytes * u64::from(layout.keep);
        if layout.esp_bytes < needed {
            let place = disk.field("keep").or(disk.field("esp"));
            let place = place.map_or(name_span, |field| field.name_span.to(field.value.span));
            let mib = |bytes: u64| format!("{}MiB", bytes.div_ceil(1 << 20));
            let fits = (layout.esp_bytes - ESP_OVERHEAD_BYTES) / kernel_bytes;
            self.report(Diagnostic::new(
                codes::DISK_TOO_SMALL,
                place,
                format!(
                    "an EFI system partition of {} cannot hold {} generations",
                    mib(layout.esp_bytes),
                    layout.keep
                ),
                format!("write `esp = {}`, or `keep = {fits}`", mib(needed)),
            ));
        }
        layout
    }

    fn machine(&mut self, fields: &Fields, runs: &[Runs], complete: bool) -> VirtualMachine {
        let none = Fields::default();
        let machine = fields
            .get("machine")
            .and_then(Value::as_record)
            .unwrap_or(&none);
        let ports: BTreeSet<u16> = runs
            .iter()
            .flat_map(|(_, _, parts)| &parts.listen)
            .filter(|(port, _)| port.protocol == Protocol::Tcp)
            .map(|(port, _)| port.port)
            .collect();
        let mut forward = BTreeMap::new();
        match machine.get("forward") {
            None => forward.extend(ports.into_iter().map(|port| (port, 0))),
            Some(list) => {
                for value in list.elements() {
                    let Some(call) = value.as_call() else {
                        continue;
                    };
                    let arguments = arguments(call, &schema::FORWARD);
                    let number = |name| {
                        unsigned(arguments.get(name)).and_then(|port| u16::try_from(port).ok())
                    };
                    let Some(port) = number("port") else { continue };
                    if complete && !ports.contains(&port) {
                        let known: Vec<String> = ports.iter().map(u16::to_string).collect();
                        let message = format!("no service of this host listens on TCP port {port}");
                        let help = match known.is_empty() {
                            true => "add the port to a service's `listen`".to_owned(),
                            false => format!("the ports are {}", known.join(", ")),
                        };
                        let code = codes::PORT_NOT_LISTENED;
                        self.report(Diagnostic::new(code, value.span, message, help));
                    }
                    forward.insert(port, number("to").unwrap_or(0));
                }
            }
        }
        let cpus = unsigned(machine.get("cpus")).and_then(|cpus| u32::try_from(cpus).ok());
        VirtualMachine {
            memory_bytes: unsigned(machine.get("memory")).unwrap_or(defaults::MEMORY_BYTES),
            cpus: cpus.unwrap_or(defaults::CPUS),
            forward,
        }
    }

    fn distinct_names(&mut self, runs: &[Runs]) {
        let mut services: BTreeMap<&str, Span> = BTreeMap::new();
        let mut images: BTreeMap<&str, (BlockId, Span)> = BTreeMap::new();
        for (_, span, parts) in runs {
            let name = parts.service.name.as_str();
            let image = parts.service.image.as_str();
            let twin = match services.insert(name, *span) {
                Some(first) => Some(("services", name, first)),
                None => match images.insert(image, (parts.image_block, *span)) {
                    Some((block, first)) if block != parts.image_block => {
                        Some(("images", image, first))
                    }
                    _ => None,
                },
            };
            if let Some((what, name, first)) = twin {
                self.report(
                    Diagnostic::new(
                        codes::SAME_NAME_ON_HOST,
                        *span,
                        format!("two {what} of this host are called `{name}`"),
                        "give one of the two another name where it is defined",
                    )
                    .label(first, "the other one"),
                );
            }
        }
    }

    fn distinct_ports(&mut self, runs: &[Runs]) {
        let mut taken = BTreeMap::new();
        for (_, named, parts) in runs {
            for (port, span) in &parts.listen {
                let name = parts.service.name.as_str();
                let before = taken.insert(*port, (name, *span, *named));
                let Some((other, other_span, other_named)) = before else {
                    continue;
                };
                let (span, other_span) = match *span == other_span {
                    // Taken over by `like`: show which two services the host runs.
                    true => (*named, other_named),
                    false => (*span, other_span),
                };
                let protocol = match port.protocol {
                    Protocol::Tcp => "TCP",
                    Protocol::Udp => "UDP",
                };
                self.report(
                    Diagnostic::new(
                        codes::PORT_TAKEN,
                        span,
                        format!(
                            "the services `{other}` and `{name}` both listen on {protocol} port {}",
                            port.port
                        ),
                        "give one of the two another port, or run them on two hosts",
                    )
                    .at(format!("`{name}` listens here"))
                    .label(other_span, format!("`{other}` listens here")),
                );
            }
        }
    }

    fn distinct_terminals(&mut self, runs: &[Runs]) {
        let mut taken = BTreeMap::new();
        for (_, named, parts) in runs {
            let (Some(terminal), Some(span)) = (&parts.service.terminal, parts.terminal) else {
                continue;
            };
            let name = parts.service.name.as_str();
            let before = taken.insert(terminal, (name, span, *named));
            let Some((other, other_span, other_named)) = before else {
                continue;
            };
            let (span, other_span) = match span == other_span {
                true => (*named, other_named),
                false => (span, other_span),
            };
            self.report(
                Diagnostic::new(
                    codes::TERMINAL_TAKEN,
                    span,
                    format!(
                        "the services `{other}` and `{name}` both have the terminal {terminal}"
                    ),
                    "give one of the two another terminal, or run them on two hosts",
                )
                .label(other_span, format!("`{other}` has it here")),
            );
        }
    }

    fn distinct_users(&mut self, runs: &[Runs]) {
        let mut taken = BTreeMap::new();
        for (_, _, parts) in runs {
            let (Some(uid), Some(span)) = (parts.service.uid, parts.user) else {
                continue;
            };
            if uid == 0 {
                continue;
            }
            let name = parts.service.name.as_str();
            if let Some((other, first)) = taken.insert(uid, (name, span)) {
                self.report(
                    Diagnostic::new(
                        codes::USER_TAKEN,
                        span,
                        format!("the services `{other}` and `{name}` both run as user {uid}"),
                        "leave `user` out, and each gets one of its own",
                    )
                    .label(first, format!("`{other}` runs as it here")),
                );
            }
        }
    }

    fn needs_state(&mut self, runs: &[Runs], place: Span) {
        for (_, _, parts) in runs {
            if let Some(state) = parts.state {
                let name = &parts.service.name;
                self.report(
                    Diagnostic::new(
                        codes::NO_STATE_PARTITION,
                        place,
                        format!(
                            "the service `{name}` keeps state, but this host has no place for it"
                        ),
                        "say how large it is: `disk = { state = 256MiB }`",
                    )
                    .label(state, "kept here"),
                );
            }
        }
    }

    /// Positions in `runs`, each service behind those it waits for, otherwise in the given order.
    fn start_order(&mut self, runs: &[Runs]) -> Option<Vec<usize>> {
        let position: BTreeMap<BlockId, usize> = runs
            .iter()
            .enumerate()
            .map(|(index, (id, _, _))| (*id, index))
            .collect();
        let mut waits: Vec<BTreeSet<usize>> = Vec::new();
        let mut good = true;
        for (_, span, parts) in runs {
            let mut on = BTreeSet::new();
            for (id, after_span) in &parts.after {
                match position.get(id) {
                    Some(index) => {
                        on.insert(*index);
                    }
                    None => {
                        good = false;
                        let other = self.evaluator.block(*id).name.to_string();
                        let name = &parts.service.name;
                        self.report(
                            Diagnostic::new(
                                codes::NOT_ON_HOST,
                                *after_span,
                                format!("`{name}` waits for `{other}`, which this host does not run"),
                                format!("add `{other}` to the host's services, or take it out of `after`"),
                            )
                            .label(*span, format!("the host runs `{name}`")),
                        );
                    }
                }
            }
            waits.push(on);
        }
        let mut order = Vec::new();
        let mut done = vec![false; runs.len()];
        while order.len() < runs.len() {
            let ready = (0..runs.len()).find(|i| !done[*i] && waits[*i].iter().all(|on| done[*on]));
            match ready {
                Some(index) => {
                    done[index] = true;
                    order.push(index);
                }
                None => {
                    self.after_cycle(runs, &waits, &done);
                    return None;
                }
            }
        }
        Some(order).filter(|_| good)
    }

    /// Reports one circle among the services that are not `done`.
    fn after_cycle(&mut self, runs: &[Runs], waits: &[BTreeSet<usize>], done: &[bool]) {
        let Some(mut at) = done.iter().position(|done| !done) else {
            return;
        };
        let mut path = Vec::new();
        while !path.contains(&at) {
            path.push(at);
            match waits[at].iter().find(|on| !done[**on]) {
                Some(next) => at = *next,
                None => return,
            }
        }
        let start = path.iter().position(|index| *index == at).unwrap_or(0);
        let circle = &path[start..];
        let names: Vec<&str> = circle
            .iter()
            .chain(circle.first())
            .map(|index| runs[*index].2.service.name.as_str())
            .collect();
        let span_of = |index: usize, on: usize| {
            let parts = &runs[index].2;
            parts
                .after
                .iter()
                .find(|(id, _)| *id == runs[on].0)
                .map(|(_, span)| *span)
        };
        let pairs = circle.iter().zip(circle.iter().cycle().skip(1));
        let mut spans = pairs.filter_map(|(index, on)| span_of(*index, *on));
        let Some(first) = spans.next() else { return };
        let mut wrong = Diagnostic::new(
            codes::AFTER_CYCLE,
            first,
            format!("services wait for each other: {}", names.join(" → ")),
            "take one of them out of the `after` of the next",
        );
        for span in spans {
            wrong = wrong.label(span, "");
        }
        self.report(wrong);
    }
}

fn network(value: Option<&Value>) -> Network {
    match value.map(|value| &value.kind) {
        Some(ValueKind::Word("dhcp")) => Network::Dhcp { interface: None },
        Some(ValueKind::Call(call)) => {
            let known = if call.name == "static" {
                &schema::STATIC
            } else {
                &schema::DHCP
            };
            let arguments = arguments(call, known);
            let texts = |name| arguments.get(name).map(Value::texts).unwrap_or_default();
            let interface = arguments
                .get("interface")
                .and_then(Value::as_text)
                .map(str::to_owned);
            match call.name {
                "static" => Network::Static {
                    interface,
                    addresses: texts("addresses"),
                    gateways: texts("gateways"),
                    dns: texts("dns"),
                },
                _ => Network::Dhcp { interface },
            }
        }
        _ => Network::None,
    }
}

fn debian(fields: &Fields) -> Debian {
    let debian = fields.get("debian").and_then(Value::as_record);
    let text = |name| debian.and_then(|d| d.get(name)).and_then(Value::as_text);
    Debian {
        suite: text("suite").unwrap_or(defaults::SUITE).to_owned(),
        mirror: text("mirror").map(str::to_owned),
    }
}
