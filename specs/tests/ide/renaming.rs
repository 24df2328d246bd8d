use super::fixture;
use expect_test::{Expect, expect};
use nos_specs::ide;

fn check(text: &str, new: &str, expected: Expect) {
    let fixture = fixture(text);
    let shown = match ide::rename(&fixture.spec, fixture.file, fixture.offset, new) {
        Ok(edits) => {
            let edits = edits
                .iter()
                .map(|edit| format!("{} -> {}", fixture.show(edit.span), edit.text));
            edits.collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("refused: {error}"),
    };
    expected.assert_eq(&shown);
}

const HOST: &str = "host h {\n  services = [web, service(\"web\")]\n}\n";

#[test]
fn every_place_gets_the_new_name() {
    check(
        "service w$0eb {\n  run = [\"/a\"]\n}\nservice other like web {\n  after = [web]\n}\nhost h {\n  services = [web, other, for n in [\"web\"] { service(n) }]\n}\n",
        "page",
        expect![[
            r#"refused: with the new name the spec would be wrong: there is no service `web` in this file; choose another name"#
        ]],
    );
    check(
        "service web {\n  run = [\"/a\"]\n}\nhost h {\n  services = [service(\"w$0eb\")]\n}\n",
        "page",
        expect![[r#"
            main.nos:1:9 web -> page
            main.nos:5:24 web -> page"#]],
    );
    check(
        "let a$0 = 80\nlet b = \"${a}\"\nhost h { services = [] }\n",
        "port",
        expect![[r#"
            main.nos:1:5 a -> port
            main.nos:2:12 a -> port"#]],
    );
    check(
        "use shared.web\nhost h { services = [w$0eb.web] }\n# file: shared/web.nos\nservice web { run = [\"/a\"] }\n",
        "pages",
        expect![[r#"
            main.nos:1:15  ->  as pages
            main.nos:2:22 web -> pages"#]],
    );
    check(
        "use shared.web as w\nhost h { services = [w.we$0b] }\n# file: shared/web.nos\nservice web { run = [\"/a\"] }\n",
        "pages",
        expect![[r#"
            main.nos:2:24 web -> pages
            shared/web.nos:1:9 web -> pages"#]],
    );
    check(
        "use shared.web as w$0\nhost h { services = [w.web] }\n# file: shared/web.nos\nservice web { run = [\"/a\"] }\n",
        "web",
        expect![[r#"
            main.nos:1:19 w -> web
            main.nos:2:22 w -> web"#]],
    );
    check(
        "template service page(po$0rt: number) {\n  run = [\"/a\", \"${port}\"]\n}\nservice a like page(port = 1)\nservice b like page(2)\nhost h { services = [a, b] }\n",
        "number",
        expect![[r#"
            main.nos:1:23 port -> number
            main.nos:2:19 port -> number
            main.nos:4:21 port -> number"#]],
    );
}

#[test]
fn what_cannot_be_renamed_safely_is_refused() {
    check(
        &format!("service web {{\n  run = [\"/a\"]\n}}\n{HOST}").replacen("web", "w$0eb", 1),
        "for",
        expect![[
            r#"refused: `for` cannot be the new name: it is a word of the language; choose another"#
        ]],
    );
    check(
        "service w$0eb { run = [\"/a\"] }\n",
        "Web Site",
        expect![[
            r#"refused: `Web Site` cannot be the new name: a name begins with a letter or `_` and has letters, digits, `_` and `-`"#
        ]],
    );
    check(
        "service w$0eb { run = [\"/a\"] }\n",
        "Web",
        expect![[
            r#"refused: `Web` cannot be the new name: the name of a block has 1 to 32 of a-z, 0-9 and -, a letter first and no - last"#
        ]],
    );
    check(
        "use std.kernel\nhost h {\n  kernel = kernel.st$0ock\n  services = []\n}\n",
        "x",
        expect![[
            r#"refused: `stock` belongs to the standard library, which is inside nos; give it a name of your own with `let`"#
        ]],
    );
    check(
        "host h { serv$0ices = [] }\n",
        "x",
        expect![[
            r#"refused: `services` is a word of the language; only names that a spec defines can be renamed"#
        ]],
    );
    check(
        "host h {\n  services = []\n  network = dh$0cp\n}\n",
        "x",
        expect![[
            r#"refused: `dhcp` is a word of the language; only names that a spec defines can be renamed"#
        ]],
    );
    check(
        "let a = { b$0 = 1 }\n",
        "x",
        expect![[
            r#"refused: `b` is a name of a record: loops and sums may reach it unseen; change it by hand and run `nos check`"#
        ]],
    );
    check(
        "for n in [1] {\n  service \"s-$0${n}\" { run = [\"/a\"] }\n}\n",
        "x",
        expect![[r#"refused: this name is put together from parts; change the parts"#]],
    );
    check(
        "let a$0 = 1\nlet b = \n",
        "x",
        expect![[
            r#"refused: the spec has mistakes, so not every place of `a` is known; correct them first"#
        ]],
    );
    check(
        "let a = 1$00\n",
        "x",
        expect![[
            r#"refused: nothing here can be renamed; put the cursor on the name of a block, `let`, template, parameter, loop variable or used file"#
        ]],
    );
}

#[test]
fn a_name_that_would_change_the_meaning_of_another_is_refused() {
    // Taken already.
    check(
        "let a$0 = 1\nlet b = a\nhost h { services = [] }\n",
        "b",
        expect![[
            r#"refused: with the new name the spec would be wrong: `b` is defined a second time; choose another name"#
        ]],
    );
    // Hidden by a parameter.
    check(
        "let a$0 = 1\ntemplate service t(n: number) {\n  run = [\"/a\"]\n  user = a + n\n}\nservice s like t(n = 1)\nhost h { services = [s] }\n",
        "n",
        expect!["refused: `n` would mean something else in one place; choose another name"],
    );
    // Hides another.
    check(
        "let a = 1\nlet b = [for x$0 in [1] { x + a }]\nhost h { services = [] }\n",
        "a",
        expect!["refused: `a` would mean something else in one place; choose another name"],
    );
    // Named by a text that is put together.
    check(
        "service web-1$0 { run = [\"/a\"] }\nhost h {\n  services = [for n in [1] { service(\"web-${n}\") }]\n}\n",
        "page",
        expect![[
            r#"refused: with the new name the spec would be wrong: there is no service `web-1` in this file; choose another name"#
        ]],
    );
}
