//! `keep` and `drop`: what a spec says of its images beside what trimming finds.

use crate::common::Example;
use crate::common::program::{Nos, at};
use serde_json::Value;
use std::collections::BTreeSet;

/// Adds the paths that stay because of what is in `held`, and those that stay because of these.
fn add_paths(held: &Value, paths: &mut BTreeSet<String>) {
    for one in held.as_array().into_iter().flatten() {
        paths.insert(at(one, "/what").as_str().unwrap().to_owned());
        add_paths(&one["holds"], paths);
    }
}

#[test]
fn what_is_kept_comes_and_what_is_dropped_goes() {
    let web = Example::copy("web");
    let spec = String::from_utf8(web.read("web.nos")).unwrap();
    let say = |lines: &str| {
        let said = spec.replace("  run    = ", &format!("  {lines}\n  run    = "));
        assert_ne!(said, spec);
        web.write("web.nos", said);
    };
    let stays = || {
        let images = Nos::new(["trim", &web.spec(), "--offline"]).json();
        let mut paths = BTreeSet::new();
        add_paths(at(&images, "/0/holders"), &mut paths);
        paths
    };
    let branches = || {
        let tree = Nos::new(["tree", &web.spec(), "--offline"]).json();
        let branches = at(&tree, "/images/0/branches").as_array().unwrap().iter();
        branches.cloned().collect::<Vec<_>>()
    };
    let files_below = |path: &str| {
        let found = branches().into_iter().find(|branch| branch["path"] == path);
        found.unwrap()["files"].as_u64().unwrap()
    };

    // `nginx.conf` names the one, nothing the others.
    let before = stays();
    assert!(before.contains("/etc/nginx/mime.types"), "{before:?}");
    let of_snippets = |paths: &BTreeSet<String>| {
        let snippets = paths
            .iter()
            .filter(|path| path.starts_with("/etc/nginx/snippets/"));
        snippets.cloned().collect::<Vec<_>>()
    };
    assert!(of_snippets(&before).is_empty(), "{before:?}");
    let files = files_below("/etc/nginx");

    // A store that an earlier run filled knows no such pattern, so that the warning is said.
    let nothing = format!("/etc/nginx/nothing{}*", std::process::id());
    say(&format!(
        "keep = [\"/etc/nginx/snippets/*\"]\n  drop = [\"/etc/nginx/mime.types\", {nothing:?}]"
    ));
    let built = Nos::new(["build", &web.spec(), "--locked", "--offline"]).succeeds();
    let warning = format!("drop = {nothing:?} matches nothing; correct it or leave it out");
    assert!(built.stderr.contains(&warning), "{}", built.stderr);
    let after = stays();
    assert!(!after.contains("/etc/nginx/mime.types"), "{after:?}");
    let kept = of_snippets(&after);
    assert!(kept.len() >= 2, "{after:?}");
    // One went, and those came.
    let kept = u64::try_from(kept.len()).unwrap();
    assert_eq!(files_below("/etc/nginx"), files - 1 + kept);

    // What cannot be meant is said, with the pattern, and nothing is built.
    let wrong = [
        (
            r#"drop = ["/usr/lib/**/libz.so.1*"]"#,
            "/usr/sbin/nginx (package nginx) needs libz.so.1, which is not in the image; \
             drop = \"/usr/lib/**/libz.so.1*\" takes it out",
        ),
        (
            r#"drop = ["/usr/sbin/*"]"#,
            "drop = \"/usr/sbin/*\" takes out /usr/sbin/nginx, which the spec places or runs",
        ),
        (
            "keep = [\"/etc/nginx/snippets/*\"]\n  drop = [\"/etc/nginx/snippets\"]",
            "is kept by keep = \"/etc/nginx/snippets/*\" and taken out by drop = \
             \"/etc/nginx/snippets\"",
        ),
    ];
    for (lines, message) in wrong {
        say(lines);
        let refused = Nos::new(["build", &web.spec(), "--locked", "--offline"]).run();
        let refused = refused.expect_code(1);
        assert!(refused.stderr.contains(message), "{}", refused.stderr);
    }
}
