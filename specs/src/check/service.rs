//! Service blocks → services.

use super::build::blocks;
use super::conform::arguments;
use super::content::CONTENT;
use super::{Checker, Mention, MentionKind, unsigned};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::eval::value::{BlockId, Fields, Value};
use crate::schema::{self, defaults};
use crate::source::Span;
use crate::system::{Image, Service};
use nos_manifest::{Health, Port, Protocol, Restart};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A service with what a host needs to judge it.
pub(super) struct ServiceParts {
    pub(super) service: Service,
    pub(super) image: Image,
    /// Where the image is declared.
    pub(super) image_block: BlockId,
    /// Builds in the image.
    pub(super) builds: Vec<(BlockId, Span)>,
    pub(super) listen: Vec<(Port, Span)>,
    /// Where each of the service's channels is named, in their order.
    pub(super) serves: Vec<Span>,
    pub(super) calls: Vec<Span>,
    pub(super) terminal: Option<Span>,
    pub(super) state: Option<Span>,
    pub(super) user: Option<Span>,
    pub(super) after: Vec<(BlockId, Span)>,
}

const BIND: &str = "CAP_NET_BIND_SERVICE";

/// Whose image a service runs from, the image, and the builds in it with their places.
type ServiceImage = (BlockId, Image, Vec<(BlockId, Span)>);

impl Checker<'_> {
    /// The service that a block declares; `None` where it is wrong and that is reported.
    pub(super) fn service(&mut self, id: BlockId) -> Option<Rc<ServiceParts>> {
        if let Some(known) = self.services.get(&id) {
            return known.clone();
        }
        let errors = self
            .evaluator
            .diagnostics
            .iter()
            .filter(|d| d.is_error())
            .count();
        let fields = self.fields(id);
        let parts = self.in_block(id, |checker| checker.service_parts(id, &fields));
        let errors_now = self
            .evaluator
            .diagnostics
            .iter()
            .filter(|d| d.is_error())
            .count();
        let parts = parts.filter(|_| errors == errors_now).map(Rc::new);
        self.services.insert(id, parts.clone());
        parts
    }

    fn service_parts(&mut self, id: BlockId, fields: &Fields) -> Option<ServiceParts> {
        let block = self.evaluator.block(id);
        let (name, span) = (block.name.to_string(), block.name_span);
        let given = self.evaluator.fields(id);
        let (image_block, image, builds) = self.image_of(id, &given, fields, span)?;
        let image_name = self.evaluator.block(image_block).name.to_string();
        let run = fields.get("run").map(Value::texts).unwrap_or_default();
        if let Some(program) = fields.get("run").and_then(|run| run.elements().first()) {
            self.program(program, &image_name);
        }
        let listen = ports(fields.get("listen"));
        let serves = fields.get("serves").map(Value::texts).unwrap_or_default();
        let health = fields
            .get("health")
            .and_then(|value| self.health(value, &listen, &serves, &image_name));
        let mut capabilities = fields
            .get("capabilities")
            .map(Value::texts)
            .unwrap_or_default();
        if listen.iter().any(|(port, _)| port.port < 1024)
            && !capabilities.iter().any(|c| c == BIND)
        {
            capabilities.push(BIND.to_owned());
        }
        capabilities.sort();
        let env: BTreeMap<String, String> = fields
            .get("env")
            .and_then(Value::as_record)
            .map(|fields| {
                fields
                    .iter()
                    .filter_map(|f| Some((f.name.to_string(), f.value.as_text()?.to_owned())))
                    .collect()
            })
            .unwrap_or_default();
        self.given_variables(fields, &serves);
        let after: Vec<(BlockId, Span)> = fields
            .get("after")
            .map_or(&[][..], Value::elements)
            .iter()
            .filter_map(|value| Some((value.as_block()?, value.span)))
            .collect();
        let state = fields
            .get("state")
            .filter(|value| !value.elements().is_empty());
        let terminal = fields.get("terminal");
        let service = Service {
            image: image_name,
            run,
            env,
            workdir: fields
                .get("workdir")
                .and_then(Value::as_text)
                .unwrap_or("/")
                .to_owned(),
            uid: unsigned(fields.get("user")).and_then(|uid| u32::try_from(uid).ok()),
            capabilities,
            devices: fields.get("devices").map(Value::texts).unwrap_or_default(),
            terminal: terminal.and_then(Value::as_text).map(str::to_owned),
            state: state.map(Value::texts).unwrap_or_default(),
            listen: listen.iter().map(|(port, _)| *port).collect(),
            serves,
            calls: fields.get("calls").map(Value::texts).unwrap_or_default(),
            health,
            restart: match fields.get("restart").and_then(Value::as_word) {
                Some("on-failure") => Restart::OnFailure,
                Some("never") => Restart::Never,
                _ => Restart::Always,
            },
            after: after
                .iter()
                .map(|(id, _)| self.evaluator.block(*id).name.to_string())
                .collect(),
            name,
        };
        Some(ServiceParts {
            service,
            image,
            image_block,
            builds,
            listen,
            serves: channels(fields.get("serves")),
            calls: channels(fields.get("calls")),
            terminal: terminal.map(|value| value.span),
            state: state.map(|value| value.span),
            user: fields.get("user").map(|value| value.span),
            after,
        })
    }

    /// The image a service runs from: the one it names, or one of its own content.
    fn image_of(
        &mut self,
        id: BlockId,
        given: &Fields,
        fields: &Fields,
        span: Span,
    ) -> Option<ServiceImage> {
        let own = CONTENT.iter().find_map(|name| given.field(name));
        match (given.field("image"), own) {
            (Some(image), Some(own)) => {
                let message = format!("`{}` stands beside `image`", own.name);
                let help = "take `image` out, or move the content into the image block";
                let wrong = Diagnostic::new(codes::TWO_CONTENTS, own.name_span, message, help);
                self.report(wrong.label(image.name_span, "the image is named here"));
                None
            }
            (Some(_), None) => {
                let block = fields.get("image")?.as_block()?;
                let fields = self.fields(block);
                let image = self.in_block(block, |checker| checker.content(&fields));
                Some((block, image, blocks(fields.get("builds"))))
            }
            (None, own) => {
                let some = |name| given.get(name).is_some();
                let content = ["packages", "builds", "from", "files"];
                if own.is_none() || !content.into_iter().any(some) {
                    let message = "this service has nothing to run from".to_owned();
                    let help = "give it `packages`, `builds`, `files` or an `image`";
                    // A misspelt attribute has been reported and may be the missing one.
                    let known = schema::block("service")?;
                    let unknown = given
                        .iter()
                        .any(|f| !known.attributes().any(|a| *a.name == *f.name));
                    if !unknown && !given.incomplete {
                        self.report(Diagnostic::new(codes::NO_CONTENT, span, message, help));
                    }
                    return None;
                }
                let builds = blocks(fields.get("builds"));
                Some((id, self.content(fields), builds))
            }
        }
    }

    /// The first word of a command must be an absolute path, of a program in `image`.
    fn program(&mut self, program: &Value, image: &str) {
        let Some(text) = program.as_text() else {
            return;
        };
        let Err(problem) = (schema::PROGRAM.check)(text) else {
            self.mentions.push(Mention {
                kind: MentionKind::Program,
                name: text.to_owned(),
                span: program.span,
                image: image.to_owned(),
            });
            return;
        };
        let help = if text.contains(' ') {
            "make each word an element of its own: [\"/usr/bin/app\", \"--flag\"]"
        } else {
            "name the program by its absolute path in the image, such as \"/usr/bin/app\""
        };
        let message = format!("the program \"{text}\" {}", problem.message);
        self.report(Diagnostic::new(
            codes::BAD_PATH,
            program.span,
            message,
            help,
        ));
    }

    fn health(
        &mut self,
        value: &Value,
        listen: &[(Port, Span)],
        serves: &[String],
        image: &str,
    ) -> Option<Health> {
        let call = value.as_call()?;
        let known = schema::probe(call.name, |name| call.has(name))?;
        let arguments = arguments(call, known);
        let within_ms = unsigned(arguments.get("within")).unwrap_or(defaults::WITHIN_MS);
        if call.name == "exec" {
            let run = arguments.get("run")?;
            self.program(run.elements().first()?, image);
            return Some(Health::Exec {
                run: run.texts(),
                within_ms,
            });
        }
        let path = arguments.get("path").and_then(Value::as_text);
        let path = path.unwrap_or("/").to_owned();
        if let Some(channel) = arguments.get("channel") {
            let name = channel.as_text()?.to_owned();
            if !serves.contains(&name) {
                let message = format!("the service does not serve the channel `{name}`");
                let help = match serves {
                    [] => format!("add `serves = [\"{name}\"]`"),
                    _ => format!(
                        "ask a channel that it serves ({}), or add \"{name}\" to `serves`",
                        serves.join(", ")
                    ),
                };
                self.report(Diagnostic::new(
                    codes::CHANNEL_ONE_END,
                    channel.span,
                    message,
                    help,
                ));
            }
            return Some(Health::Channel {
                channel: name,
                path,
                within_ms,
            });
        }
        let port = unsigned(arguments.get("port")).and_then(|port| u16::try_from(port).ok())?;
        if !listen
            .iter()
            .any(|(l, _)| l.port == port && l.protocol == Protocol::Tcp)
        {
            let known: Vec<String> = listen
                .iter()
                .filter(|(l, _)| l.protocol == Protocol::Tcp)
                .map(|(l, _)| l.port.to_string())
                .collect();
            let help = if known.is_empty() {
                format!("add `listen = [tcp({port})]`")
            } else {
                format!(
                    "ask a port that it listens on ({}), or add `tcp({port})` to `listen`",
                    known.join(", ")
                )
            };
            let message = format!("the service does not listen on port {port}");
            let place = arguments.get("port").map_or(value.span, |port| port.span);
            self.report(Diagnostic::new(codes::HEALTH_PORT, place, message, help));
        }
        Some(match call.name {
            "http" => Health::Http {
                port,
                path,
                within_ms,
            },
            _ => Health::Tcp { port, within_ms },
        })
    }
}

/// Where the channels of a list are named.
fn channels(list: Option<&Value>) -> Vec<Span> {
    let names = list.map_or(&[][..], Value::elements).iter();
    names.map(|value| value.span).collect()
}

/// The ports of a list of `tcp(…)` and `udp(…)`.
fn ports(list: Option<&Value>) -> Vec<(Port, Span)> {
    list.map_or(&[][..], Value::elements)
        .iter()
        .filter_map(|value| {
            let call = value.as_call()?;
            let protocol = if call.name == "udp" {
                Protocol::Udp
            } else {
                Protocol::Tcp
            };
            let port = call.arguments.first()?.value.as_number()?;
            Some((
                Port {
                    protocol,
                    port: u16::try_from(port).ok()?,
                },
                value.span,
            ))
        })
        .collect()
}
