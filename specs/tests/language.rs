//! What specs mean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use nos_specs::system::{Kernel, Platform, Source, System};
use nos_specs::{check, render};
use std::collections::BTreeMap;

/// The systems of a spec without any message, beside the files of `others`.
fn systems(text: &str, others: &[(&str, &str)]) -> Vec<System> {
    let files: BTreeMap<String, String> = others
        .iter()
        .map(|(name, text)| (name.to_string(), text.to_string()))
        .collect();
    let checked = check("a.nos", text, &files);
    let shown = render(&checked.diagnostics, &checked.sources, false, 100);
    assert!(checked.diagnostics.is_empty(), "{shown}");
    checked.systems
}

/// The text that `value` comes to, with `definitions` before it.
fn text(definitions: &str, value: &str) -> String {
    let spec = format!(
        "{definitions}\nservice s {{\n  files = {{ \"/a\" = text({value}) }}\n  run = [\"/a\"]\n}}\n\
         host h {{ services = [s] }}\n"
    );
    match systems(&spec, &[]).remove(0).images["s"].files["/a"].clone() {
        Source::Text { text, .. } => text,
        other => panic!("not a text: {other:?}"),
    }
}

#[test]
fn the_page_about_the_language_holds_specs_without_a_flaw() {
    let page = include_str!("../LANGUAGE.md");
    let specs: Vec<&str> = page
        .split("```nos\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(specs.len(), 6);
    for spec in &specs {
        assert_eq!(
            nos_specs::fmt::format(spec).unwrap(),
            *spec,
            "not in canonical form"
        );
    }
    assert_eq!(systems(specs[0], &[])[0].disk.keep, 3);
    let joined = systems(specs[1], &[]).remove(0);
    assert_eq!(joined.services[0].calls, joined.services[1].serves);
    let edge = systems(specs[2], &[]).remove(0);
    assert_eq!(edge.services[0].devices, ["/dev/ttyUSB*", "/dev/ppp"]);
    assert_eq!(edge.services[1].terminal.as_deref(), Some("/dev/ttyS0"));
    let edge = systems(specs[3], &[]).remove(0);
    let names: Vec<&str> = edge.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["blog", "shop", "area-north", "area-south"]);
    assert_eq!(edge.services[1].env.len(), 2);
    assert_eq!(edge.machine.forward.len(), 4);
    assert_eq!(
        edge.images["area-south"].files["/srv/www/index.html"],
        Source::Text {
            text: "<h1>Area south</h1>".into(),
            mode: None
        }
    );
    let made = specs.iter().find(|spec| spec.contains("build greeter"));
    let made = systems(made.unwrap(), &[]).remove(0);
    assert_eq!(made.images["hi"].builds, ["greeter"]);
    assert!(made.images["hi"].trim && !made.images["old"].trim);
    assert!(made.builds.contains_key("greeter"));
}

#[test]
fn the_schema_says_the_defaults_that_hold() {
    let bare = systems("host h { services = [] }", &[]);
    let default = |path: &str| {
        let explained = nos_specs::explain_path(path).unwrap();
        let line = explained
            .lines()
            .find_map(|line| line.strip_prefix("Without it: "));
        line.unwrap_or_else(|| panic!("{path} has no default"))
            .trim_end_matches('.')
            .to_owned()
    };
    let spec = format!(
        "kernel k {{ package = {} }}\nhost h {{\n  services = []\n  kernel = k\n  network = {}\n  \
         disk = {{ esp = {}, spare = {}, keep = {} }}\n  debian = {{ suite = {} }}\n  \
         machine = {{ memory = {}, cpus = {} }}\n}}\n",
        default("kernel.package"),
        default("host.network"),
        default("host.disk.esp"),
        default("host.disk.spare"),
        default("host.disk.keep"),
        default("host.debian.suite"),
        default("host.machine.memory"),
        default("host.machine.cpus"),
    );
    assert_eq!(systems(&spec, &[]), bare);
}

#[test]
fn every_path_of_the_schema_is_explained() {
    for path in nos_specs::schema::paths() {
        let explained = nos_specs::explain_path(&path).unwrap();
        assert!(
            explained.lines().all(|line| line.chars().count() <= 110),
            "{path}\n{explained}"
        );
    }
    assert_eq!(nos_specs::explain_path("service.helth"), None);
    assert_eq!(nos_specs::explain_path("service.run.x"), None);
}

#[test]
fn every_example_of_the_schema_is_in_canonical_form() {
    for block in nos_specs::schema::BLOCKS {
        let example = format!("{}\n", block.example);
        assert_eq!(nos_specs::fmt::format(&example).unwrap(), example);
        for attribute in block.attributes() {
            let spec = format!("{} a {{\n  {}\n}}\n", block.name, attribute.example);
            assert_eq!(nos_specs::fmt::format(&spec).unwrap(), spec);
        }
    }
}

#[test]
fn texts_resolve_escapes_holes_and_indentation() {
    assert_eq!(text("", r#""a\tb\u{e9}\"\\ \${x}""#), "a\tbé\"\\ ${x}");
    assert_eq!(
        text("let n = 3", r#""${n} ${n * 2} ${"in ${n}"}""#),
        "3 6 in 3"
    );
    assert_eq!(
        text("", "\"${64MiB} ${1536KiB} ${90s} ${0B} ${true} ${-5}\""),
        "64MiB 1536KiB 90s 0B true -5"
    );
    let long = "\"\"\"\n    one\n\n      two \\d ${1 + 1}\n    \\${raw} \\\"\"\"\n    \"\"\"";
    assert_eq!(text("", long), "one\n\n  two \\d 2\n${raw} \"\"\"\n");
    assert_eq!(text("", "\"\"\"\n\"\"\""), "");
}

#[test]
fn operators_bind_as_written() {
    let value = |expression: &str| text("", &format!("\"${{{expression}}}\""));
    assert_eq!(value("1 + 2 * 3 - 4"), "3");
    assert_eq!(value("(1 + 2) * -3"), "-9");
    assert_eq!(value("not 1 > 2 and 2 >= 2 or false"), "true");
    assert_eq!(value("2 in [1, 2] and not (3 in [1, 2])"), "true");
    assert_eq!(
        value("{ a = [1] } == { a = [1] } and { a = 1 } != { b = 1 }"),
        "true"
    );
    assert_eq!(
        value("if 1 == 2 { 1 } else if 1 == 1 { 2 } else { 3 }"),
        "2"
    );
    assert_eq!(value("(1KiB + 24B) * 2"), "2096B");
    let record = "let r = { a = 1, b = 2 } + { b = 3 }";
    assert_eq!(text(record, r#""${r.a} ${r.b}""#), "1 3");
}

#[test]
fn a_used_file_brings_its_names_and_its_folder() {
    let shared = "use deeper.base as b\nlet port = 81\nservice web like b.base {\n  listen = [tcp(port)]\n  \
                  files += { \"/b\" = folder(\"y\") }\n}\n";
    let base = "service base {\n  files = { \"/a\" = file(\"x\", mode = \"0700\") }\n  run = [\"/a\"]\n}\n";
    let spec = "use shared.web as w\nhost h {\n  services = [w.web]\n  \
                machine = { forward = [tcp(w.port, to = 8081)] }\n}\n";
    let files = [("shared/web.nos", shared), ("shared/deeper/base.nos", base)];
    let system = systems(spec, &files).remove(0);
    let image = &system.images["web"];
    assert_eq!(
        image.files["/a"],
        Source::File {
            path: "shared/deeper/x".into(),
            mode: Some(0o700)
        }
    );
    assert_eq!(
        image.files["/b"],
        Source::Folder {
            path: "shared/y".into()
        }
    );
    assert_eq!(system.machine.forward, BTreeMap::from([(81, 8081)]));
}

#[test]
fn files_that_use_each_other_are_read_once() {
    let a = "use b\nlet x = 1\nlet y = b.z + 1\n";
    let b = "use a\nlet z = a.x + 1\n";
    let spec = "use a\nhost h {\n  services = []\n  disk = { keep = a.y }\n}\n";
    assert_eq!(systems(spec, &[("a.nos", a), ("b.nos", b)])[0].disk.keep, 3);
}

#[test]
fn services_start_behind_those_they_wait_for() {
    let service = |name: &str, after: &str| {
        format!(
            "service {name} {{\n  packages = [\"nginx\"]\n  run = [\"/a\"]\n  after = [{after}]\n}}\n"
        )
    };
    let spec = [
        service("a", "c"),
        service("b", ""),
        service("c", "b"),
        "host h { services = [a, b, c] }\n".to_owned(),
    ]
    .concat();
    let system = systems(&spec, &[]).remove(0);
    let names: Vec<&str> = system.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "a"]);
}

#[test]
fn kernels_come_from_the_library_and_can_be_extended() {
    let spec = "use std.kernel\nkernel k like kernel.generic {\n  modules = [\"nvme\"]\n}\n\
                host a {\n  kernel = k\n  services = []\n}\nhost b { services = [] }\n";
    let systems = systems(spec, &[]);
    let Kernel::Stock {
        package, modules, ..
    } = &systems[0].kernel
    else {
        panic!("not Debian's kernel");
    };
    assert_eq!(
        (package.as_str(), &modules[..]),
        ("linux-image-amd64", &["nvme".to_owned()][..])
    );
    let Kernel::Stock { package, .. } = &systems[1].kernel else {
        panic!("not Debian's kernel");
    };
    assert_eq!(package, "linux-image-cloud-amd64");
}

#[test]
fn a_platform_makes_a_kernel_of_its_own() {
    let spec = "use std.kernel\nkernel k {\n  platform = microvm\n  \
                options = { CONFIG_TUN = \"y\", CONFIG_NR_CPUS = \"8\" }\n}\n\
                host a {\n  kernel = k\n  services = []\n}\n\
                host b {\n  kernel = kernel.minimal\n  services = []\n}\n";
    let systems = systems(spec, &[]);
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let minimal = |platform, options: &[(String, String)]| Kernel::Minimal {
        platform,
        source: "linux-source-6.12".into(),
        options: options.iter().cloned().collect(),
        cmdline: Vec::new(),
    };
    let options = [option("CONFIG_TUN", "y"), option("CONFIG_NR_CPUS", "8")];
    assert_eq!(systems[0].kernel, minimal(Platform::Microvm, &options));
    assert_eq!(systems[1].kernel, minimal(Platform::Qemu, &[]));
}

#[test]
fn a_fleet_comes_from_one_template() {
    let spec = "template host edge(number: number) {\n  services = []\n  \
                network = static(addresses = [\"192.0.2.${number}/24\"])\n}\n\
                for n in range(1, 50) {\n  host \"edge-${n}\" like edge(number = n)\n}\n";
    let fleet = systems(spec, &[]);
    assert_eq!(fleet.len(), 50);
    assert_eq!(fleet[49].host, "edge-50");
}

#[test]
fn lists_are_joined_to_texts() {
    assert_eq!(
        text("", "join([1, \"b\", 10s, true], \", \")"),
        "1, b, 10s, true"
    );
    assert_eq!(text("", "join([], \", \") + join([\"a\"], \", \")"), "a");
    let lines = "join([for n in range(1, 3) { \"line ${n}\" }], \"\\n\")";
    assert_eq!(text("", lines), "line 1\nline 2\nline 3");
}
