use super::fixture;
use expect_test::{Expect, expect};
use nos_specs::ide::{self, Symbol};
use std::fmt::Write as _;

fn definition(text: &str, expected: Expect) {
    let fixture = fixture(text);
    let found = ide::definition(&fixture.spec, fixture.file, fixture.offset);
    let shown = found.map_or("nothing".to_owned(), |span| fixture.show(span));
    expected.assert_eq(&shown);
}

fn references(text: &str, expected: Expect) {
    let fixture = fixture(text);
    let found = ide::references(&fixture.spec, fixture.file, fixture.offset, true);
    let shown: Vec<String> = found.iter().map(|span| fixture.show(*span)).collect();
    expected.assert_eq(&shown.join("\n"));
}

const SHARED: &str = "\
# file: shared/web.nos
let root = \"/srv\"
template service page(port: number) {
  run = [root]
}
service web like page(port = 80)
";

#[test]
fn definitions_are_found_across_files() {
    let with = |text: &str| format!("{text}{SHARED}");
    definition(
        &with("use shared.web\nhost a {\n  services = [web.we$0b]\n}\n"),
        expect![[r#"shared/web.nos:5:9 web"#]],
    );
    definition(
        &with("use shared.web as w\nservice b like w.pa$0ge(port = 1)\n"),
        expect![[r#"shared/web.nos:2:18 page"#]],
    );
    definition(
        &with("use shared.web as w\nservice b like w.page(po$0rt = 1)\n"),
        expect![[r#"shared/web.nos:2:23 port"#]],
    );
    definition(
        &with("use sha$0red.web\n"),
        expect![[r#"shared/web.nos:1:1 "#]],
    );
    definition(
        &with("use shared.web\nlet a = we$0b.root\n"),
        expect![[r#"shared/web.nos:1:1 "#]],
    );
    definition(
        "use std.kernel\nhost a { kernel = kernel.sto$0ck }\n",
        expect![[r#"std/kernel.nos:4:8 stock"#]],
    );
    definition(
        "let a = { b = 1 }\nlet c = a.$0b\n",
        expect![[r#"main.nos:1:11 b"#]],
    );
    definition(
        "service web { run = [\"/a\"] }\nhost a { services = [service(\"w$0eb\")] }\n",
        expect![[r#"main.nos:1:9 web"#]],
    );
    definition(
        "for x in [1] {\n  service \"s-${x$0}\" { run = [\"/a\"] }\n}\n",
        expect![[r#"main.nos:2:11 "s-${x}""#]],
    );
    definition(
        "for x in [1] {\n  service \"s-${x}\" { run = [\"/a\"] }\n}\nlet a = s-1$0\n",
        expect![[r#"main.nos:2:11 "s-${x}""#]],
    );
    definition("let a = mis$0sing\n", expect![[r#"nothing"#]]);
}

#[test]
fn the_innermost_name_counts() {
    definition(
        "let x = 1\ntemplate service t(x: number) {\n  user = $0x\n}\n",
        expect![[r#"main.nos:2:20 x"#]],
    );
    definition(
        "let x = [1]\nlet y = [for x in x { x$0 }]\n",
        expect![[r#"main.nos:2:14 x"#]],
    );
    definition(
        "let x = [1]\nlet y = [for x in x$0 { x }]\n",
        expect![[r#"main.nos:1:5 x"#]],
    );
}

#[test]
fn references_are_found_in_all_files() {
    references(
        &format!(
            "use shared.web\nhost a {{\n  services = [web.web]\n}}\n{}",
            SHARED.replace("service web", "service w$0eb")
        ),
        expect![[r#"
            main.nos:3:19 web
            shared/web.nos:5:9 web"#]],
    );
    references(
        "let a$0 = 1\nlet b = a + a\nlet c = \"${a}\"\nlet d = { a = a }\n",
        expect![[r#"
            main.nos:1:5 a
            main.nos:2:9 a
            main.nos:2:13 a
            main.nos:3:12 a
            main.nos:4:15 a"#]],
    );
    references(
        "service web { run = [\"/a\"] }\nhost h { services = [we$0b, service(\"web\")] }\n",
        expect![[r#"
            main.nos:1:9 web
            main.nos:2:22 web
            main.nos:2:35 "web""#]],
    );
}

#[test]
fn the_outline_has_blocks_with_their_attributes() {
    fn put(out: &mut String, symbols: &[Symbol], depth: usize) {
        for symbol in symbols {
            let indent = "  ".repeat(depth);
            let _ = writeln!(
                out,
                "{indent}{:?} {} ({})",
                symbol.kind, symbol.name, symbol.detail
            );
            put(out, &symbol.children, depth + 1);
        }
    }
    let text = "$0use std.kernel\nlet sizes = { a = 1 }\nservice web like base {\n  run = [\"/a\"]\n  files = { \"/a\" = text(\"\") }\n}\nfor x in [1] {\n  host \"h-${x}\" { services = [] }\n}\nif true {\n host \"\" {}\n}\ntemplate image i(a: text) { packages = [a] }\n";
    let fixture = fixture(text);
    let mut shown = String::new();
    put(&mut shown, &ide::symbols(&fixture.spec, fixture.file), 0);
    expect![[r#"
        File kernel (std.kernel)
        Let sizes (let)
          Attribute a ()
        Block web (service)
          Attribute run ()
          Attribute files ()
            Attribute "/a" ()
        Group for x in [1] ()
          Block h-${x} (host)
            Attribute services ()
        Group if true ()
          Block "" (host)
        Template i (template image)
          Attribute packages ()
    "#]]
    .assert_eq(&shown);
}
