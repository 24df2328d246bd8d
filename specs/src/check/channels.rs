//! Channels: each has one service that serves it and others that call it, on one host.

use super::Checker;
use super::host::Runs;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::eval::value::{BlockId, Fields, Value};
use crate::source::Span;
use crate::suggest::nearest;
use nos_manifest::channel_variable;
use std::collections::{BTreeMap, BTreeSet};

/// What a service that serves a channel is told by its environment.
const LISTEN: [&str; 3] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"];

impl Checker<'_> {
    /// Reports variables of a service that the machine will set.
    pub(super) fn given_variables(&mut self, fields: &Fields, serves: &[String]) {
        let Some(env) = fields.get("env").and_then(Value::as_record) else {
            return;
        };
        let calls = fields.get("calls").map(Value::texts).unwrap_or_default();
        let given: Vec<String> = calls.iter().map(|name| channel_variable(name)).collect();
        for field in env.iter() {
            let name = &*field.name;
            let listens = !serves.is_empty() && LISTEN.contains(&name);
            if listens || given.iter().any(|variable| variable == name) {
                let attribute = if listens { "serves" } else { "calls" };
                self.report(Diagnostic::new(
                    codes::GIVEN_VARIABLE,
                    field.name_span,
                    format!("the machine sets `{name}` itself"),
                    format!("take it out; `{attribute}` brings it"),
                ));
            }
        }
    }

    /// Reports channels of a host that lack an end or have two services behind them. Every
    /// service of the host is in `runs`.
    pub(super) fn channels(&mut self, runs: &[Runs]) {
        let mut servers: BTreeMap<&str, (&str, Span)> = BTreeMap::new();
        // Channels that are called, or of which something else is said.
        let mut settled = BTreeSet::new();
        for (_, named, parts) in runs {
            for (channel, span) in parts.service.serves.iter().zip(&parts.serves) {
                let name = parts.service.name.as_str();
                let Some((other, first)) = servers.insert(channel, (name, *span)) else {
                    continue;
                };
                settled.insert(channel.as_str());
                // Where one service is like the other, both take the name from one place.
                let second = if first == *span { *named } else { *span };
                self.report(
                    Diagnostic::new(
                        codes::CHANNEL_TWO_SERVERS,
                        second,
                        format!("the services `{other}` and `{name}` both serve `{channel}`"),
                        "give one of the two channels another name, or run the services on two hosts",
                    )
                    .label(first, format!("`{other}` serves it here")),
                );
            }
        }
        for (_, named, parts) in runs {
            for (channel, span) in parts.service.calls.iter().zip(&parts.calls) {
                let name = parts.service.name.as_str();
                match servers.get(channel.as_str()) {
                    Some((server, _)) => {
                        if *server != name {
                            settled.insert(channel.as_str());
                        }
                    }
                    None => {
                        let near = nearest(channel, servers.keys().copied());
                        settled.extend(near);
                        self.unserved(channel, *span, name, *named, near);
                    }
                }
            }
        }
        for (channel, (name, span)) in &servers {
            if !settled.contains(channel) {
                self.report(Diagnostic::new(
                    codes::CHANNEL_ONE_END,
                    *span,
                    format!(
                        "`{name}` serves `{channel}`, which no other service of this host calls"
                    ),
                    format!("add `calls = [\"{channel}\"]` to the service that connects to it"),
                ));
            }
        }
    }

    /// A channel that a service calls and no service of the host serves; `near` is one that is.
    fn unserved(&mut self, channel: &str, span: Span, name: &str, named: Span, near: Option<&str>) {
        let wrong = |help| {
            let message =
                format!("`{name}` calls `{channel}`, which no service of this host serves");
            Diagnostic::new(codes::CHANNEL_ONE_END, span, message, help)
                .label(named, format!("the host runs `{name}`"))
        };
        let elsewhere = self.server_elsewhere(channel);
        self.report(match (elsewhere, near) {
            (Some((server, place)), _) => wrong(format!(
                "add `{server}` to the host's services, or take `{channel}` out of `calls`"
            ))
            .label(
                place,
                format!("`{server}` serves it, but is not on this host"),
            ),
            (None, Some(near)) => {
                let wrong = wrong(format!("did you mean \"{near}\"?"));
                match self.sources.slice(span).starts_with('"') {
                    true => wrong.fix(span, format!("{near:?}")),
                    false => wrong,
                }
            }
            (None, None) => wrong(format!(
                "add `serves = [\"{channel}\"]` to the service that answers"
            )),
        });
    }

    /// A service of the spec that serves a channel, and where it says so.
    fn server_elsewhere(&mut self, channel: &str) -> Option<(String, Span)> {
        let ids: Vec<BlockId> = (0..self.evaluator.blocks.len()).map(BlockId).collect();
        for id in ids {
            let block = self.evaluator.block(id);
            if block.kind.is_none_or(|kind| kind.name != "service") {
                continue;
            }
            let name = block.name.to_string();
            let fields = self.evaluator.fields(id);
            let serves = fields.get("serves").map_or(&[][..], Value::elements);
            if let Some(value) = serves.iter().find(|v| v.as_text() == Some(channel)) {
                return Some((name, value.span));
            }
        }
        None
    }
}
