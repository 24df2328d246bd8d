//! `nos doctor`: can this machine build, run and flash; if not, the one thing to do.

use super::Outcome;
use crate::context::Context;
use crate::failure::Failure;
use nos_builder::debian::{AptFile, Mirror};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    good: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl ToString) -> Self {
        Self { what, good: true, found: found.to_string(), remedy: None }
    }

    fn bad(what: &'static str, found: impl ToString, remedy: impl ToString) -> Self {
        Self { what, good: false, found: found.to_string(), remedy: Some(remedy.to_string()) }
    }
}

pub(crate) fn run(context: &Context) -> Outcome {
    let findings = vec![
        store(context),
        mirror(context),
        user_namespaces(),
        kvm(),
        block_devices(),
    ];
    context.shell.result(&findings, |findings| {
        let mut text = String::new();
        for finding in findings {
            let mark = if finding.good { "ok  " } else { "no  " };
            text.push_str(&format!("{mark}{}: {}\n", finding.what, finding.found));
            if let Some(remedy) = &finding.remedy {
                text.push_str(&format!("      {remedy}\n"));
            }
        }
        text
    })?;
    // Without a store or a mirror nothing can be built; the rest is only slower or narrower.
    match findings.iter().take(2).all(|f| f.good) {
        true => Ok(()),
        false => Err(Failure::Explained),
    }
}

fn store(context: &Context) -> Finding {
    let what = "build: store";
    let opened = context.open_store().and_then(|store| {
        store.add_bytes(b"nos doctor\n").map_err(Failure::from)?;
        Ok(store.root().display().to_string())
    });
    match opened {
        Ok(path) => Finding::good(what, path),
        Err(failure) => Finding::bad(
            what,
            failure.message().unwrap_or("cannot be used"),
            "name a folder that you can write to with --store or NOS_STORE",
        ),
    }
}

fn mirror(context: &Context) -> Finding {
    let what = "build: Debian mirror";
    let apt = AptFile::read_all(Path::new("/etc/apt"));
    let given = context.mirror.as_deref().or(context.environment_mirror.as_deref());
    match Mirror::find(None, given, &apt) {
        Ok(mirror) => Finding::good(what, mirror.base("trixie")),
        Err(error) => Finding::bad(what, "none is known", error),
    }
}

/// Whether this user may make user namespaces: where a distribution forbids it, `unshare`
/// may still succeed and only a sysctl tells.
fn user_namespaces() -> Finding {
    let what = "build: sandbox for programs";
    let number = |path: &str| -> Option<u64> {
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    if number("/proc/sys/user/max_user_namespaces") == Some(0) {
        return Finding::bad(
            what,
            "user namespaces are switched off",
            "sysctl user.max_user_namespaces=10000",
        );
    }
    if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return Finding::bad(
            what,
            "AppArmor keeps user namespaces from programs that it does not know",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        );
    }
    Finding::good(what, "user namespaces")
}

fn kvm() -> Finding {
    let what = "run: acceleration";
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Finding::good(what, "/dev/kvm opens; `nos run` tries it and says if it does not work"),
        Err(error) => Finding::bad(
            what,
            format_args!("/dev/kvm: {error}; machines are emulated, several times slower"),
            "join the group that owns /dev/kvm, or enable virtualisation in the firmware",
        ),
    }
}

fn block_devices() -> Finding {
    let what = "flash: block devices";
    match rustix::process::geteuid().is_root() {
        true => Finding::good(what, "root may write to them"),
        false => Finding::bad(
            what,
            "an ordinary user may not write to them; disk images work",
            "run `nos flash` as root, or as a member of the group that owns the device",
        ),
    }
}
