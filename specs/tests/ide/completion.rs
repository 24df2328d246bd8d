use super::{Around, fixture};
use expect_test::{Expect, expect};
use nos_specs::ide::{self, Completion};

fn offers(text: &str) -> Vec<Completion> {
    let fixture = fixture(text);
    ide::completions(&fixture.spec, fixture.file, fixture.offset, &Around)
}

/// Labels by rank, the most probable first.
fn check(text: &str, expected: Expect) {
    let mut shown = String::new();
    let mut rank = None;
    for offer in offers(text) {
        if rank.replace(offer.rank) != Some(offer.rank) && !shown.is_empty() {
            shown.push('\n');
        } else if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(&offer.label);
    }
    expected.assert_eq(&shown);
}

#[test]
fn lines_begin_with_blocks_and_words() {
    check(
        "$0",
        expect![[r#"
            build host image kernel service
            for if let template use"#]],
    );
    check(
        "let a = 1\nser$0\nhost h { services = [] }\n",
        expect![[r#"
            build host image kernel service
            for if let template use"#]],
    );
    check("template $0", expect!["build host image kernel service"]);
    check("service web $0", expect![[r#"like"#]]);
    check(
        "for x in [1] {\n  $0\n}\n",
        expect![[r#"
            build host image kernel service
            for if let template use"#]],
    );
}

#[test]
fn attributes_are_those_of_the_place_that_are_not_there_yet() {
    check(
        "host h {\n  services = []\n  $0\n}\n",
        expect![[r#"
        debian disk kernel machine network
        for if"#]],
    );
    check(
        "host h {\n  services = []\n  disk = { keep = 3, $0 }\n}\n",
        expect![[r#"
            esp spare state
            for if"#]],
    );
    check(
        "kernel k {\n  mod$0",
        expect![[r#"
            cmdline modules options package platform source
            for if"#]],
    );
    check(
        "kernel k {\n  if true {\n    $0\n  }\n}\n",
        expect![[r#"
            cmdline modules options package platform source
            for if"#]],
    );
    check(
        "template kernel k(a: text) {\n  $0\n",
        expect![[r#"
            cmdline modules options package platform source
            for if"#]],
    );
    check(
        "image i {\n  packages = [\n  \"a\"\nhost h {\n  ser$0\n}\n",
        expect![[r#"
            services
            debian disk kernel machine network
            for if"#]],
    );
}

#[test]
fn values_fit_what_the_schema_takes() {
    check(
        "host h {\n  network = $0\n}\n",
        expect![[r#"
        dhcp dhcp none static
        if not"#]],
    );
    check(
        "host h {\n  network = if 1 < 2 { $0 } else { none }\n}\n",
        expect![[r#"
            dhcp dhcp none static
            if not"#]],
    );
    check(
        "service s {\n  restart = n$0\n}\n",
        expect![[r#"
        always never on-failure
        if not"#]],
    );
    check(
        "service s {\n  trim = $0\n}\n",
        expect![[r#"
        false true
        if not"#]],
    );
    check(
        "service s {\n  listen = [tcp(80), $0]\n}\n",
        expect![[r#"
        tcp udp
        if not"#]],
    );
    check(
        "service s {\n  files = { \"/a\" = $0 }\n}\n",
        expect![[r#"
            fetch file folder nos text
            if not"#]],
    );
    check(
        "service s {\n  health = http($0)\n}\n",
        expect![[r#"
        path port within
        if not"#]],
    );
    check(
        "service s {\n  health = http(port = 80, wi$0)\n}\n",
        expect![[r#"path within"#]],
    );
    check(
        "use std.kernel\nlet n = 1\nservice web { run = [\"/a\"] }\nimage i {}\nhost h {\n  services = [w$0]\n}\n",
        expect![[r#"
            web
            n
            kernel
            if not"#]],
    );
    check(
        "use std.kernel\nhost h {\n  kernel = kernel.$0\n}\n",
        expect!["generic minimal stock"],
    );
    check(
        "let a = { b = 1, c = { d = 2 } }\nlet e = a.c.$0\n",
        expect![[r#"d"#]],
    );
    check("let a = 80 $0\n", expect![[r#""#]]);
}

#[test]
fn names_of_loops_and_templates_are_there_where_they_hold() {
    check(
        "let areas = { a = 1 }\nfor name, port in areas {\n  service \"x-${$0}\" {}\n}\n",
        expect![[r#"
            name port
            areas false true
            always autotools cargo cmake debian dhcp dhcp exec fetch file firecracker folder git http make microvm never none nos oci on-failure pc pull qemu range script static tcp text udp vmware xen
            if not"#]],
    );
    check(
        "template service t(port: number, title: text) {\n  user = $0\n}\nlet a = 1\n",
        expect![[r#"
            port title
            a
            if not"#]],
    );
    check(
        "template service t(port: number, title: text) {}\nservice a like t(port = 1, $0)\n",
        expect![[r#"
            title
            a false true
            always autotools cargo cmake debian dhcp dhcp exec fetch file firecracker folder git http make microvm never none nos oci on-failure pc pull qemu range script static tcp text udp vmware xen
            if not"#]],
    );
    check(
        "template service t(port: $0",
        expect!["bool build host image kernel list number record service size text time"],
    );
    check(
        "template service t(a: text) {}\ntemplate host u() {}\nservice a {}\nservice b like $0",
        expect![[r#"a t"#]],
    );
}

#[test]
fn texts_name_packages_files_and_capabilities() {
    check(
        "service s {\n  packages = [\"ngi$0\n}\n",
        expect![[r#"libc6 nginx"#]],
    );
    check(
        "service s {\n  packages = [\"$0\"]\n}\n",
        expect![[r#"libc6 nginx"#]],
    );
    check(
        "service s {\n  files = { \"/a\" = file(\"$0\") }\n}\n",
        expect![[r#"
            nginx.conf
            shared site"#]],
    );
    check(
        "service s {\n  files = { \"/a\" = file(\"site/$0\") }\n}\n",
        expect![[r#"index.html"#]],
    );
    check(
        "build b {\n  source = debian(\"$0\")\n}\n",
        expect![[r#"dropbear"#]],
    );
    check("service s {\n  run = [\"$0\"]\n}\n", expect![[r#""#]]);
    assert!(offers("service s {\n  capabilities = [\"CAP_$0\"]\n}\n").len() > 30);
}

#[test]
fn files_can_be_used() {
    check(
        "use $0\n",
        expect![[r#"
        std
        shared site"#]],
    );
    check("use std.$0\n", expect!["kernel platforms services"]);
    check("use shared.$0\n", expect![[r#"web"#]]);
    check("# comm$0ent\n", expect![[r#""#]]);
}

#[test]
fn what_is_written_is_replaced() {
    let offers = offers("service web {\n  hea$0 = 1\n}\n");
    let health = offers.iter().find(|offer| offer.label == "health").unwrap();
    assert_eq!((health.span.start, health.span.end), (16, 19));
    assert_eq!(health.text, "health");
    let offers = super::completion::offers("service web {\n  hea$0\n}\n");
    let health = offers.iter().find(|offer| offer.label == "health").unwrap();
    assert_eq!(health.text, "health = ");
    assert!(health.doc.contains("Without it: healthy once started."));
}
