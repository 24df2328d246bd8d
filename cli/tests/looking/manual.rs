//! The manual: a page for each verb, judged by man and mandoc.

use crate::said::{folder, run, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

fn pages(at: &Path) -> Vec<PathBuf> {
    run(at, &["man", "--to", "man1"]).expect(0, &["pages to man1"]);
    let pages = std::fs::read_dir(at.join("man1")).unwrap();
    let mut pages: Vec<PathBuf> = pages.map(|page| page.unwrap().path()).collect();
    pages.sort();
    pages
}

#[test]
fn every_verb_has_a_page_that_says_what_there_is_to_say() {
    let place = folder(&[]);
    let pages = pages(place.path());
    let help = run(place.path(), &["--help"]).out;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs = verbs.take_while(|line| line.starts_with("  "));
    let mut count = 0;
    for line in verbs.filter(|line| !line.starts_with("   ")) {
        let verb = line.split_whitespace().next().unwrap();
        if verb == "help" {
            continue;
        }
        count += 1;
        let page = place.path().join(format!("man1/nos-{verb}.1"));
        let text = std::fs::read_to_string(&page).unwrap();
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "EXIT STATUS",
            "EXAMPLES",
            "SEE ALSO",
        ] {
            let plain = text.replace('"', "");
            assert!(
                plain.contains(&format!(".SH {section}\n")),
                "{verb} has no {section}:\n{text}"
            );
        }
    }
    assert!(
        count > 20 && pages.len() > count,
        "{count} verbs, {} pages",
        pages.len()
    );
    let root = std::fs::read_to_string(place.path().join("man1/nos.1")).unwrap();
    for word in [
        "ENVIRONMENT",
        "NOS_STORE",
        "FILES",
        "nos.lock",
        "nos\\-install",
    ] {
        assert!(root.contains(word), "{word}");
    }
    // One page by itself is the same page.
    let one = run(place.path(), &["man", "store", "gc"]);
    let file = std::fs::read_to_string(place.path().join("man1/nos-store-gc.1")).unwrap();
    assert_eq!(one.out, file);
    run(place.path(), &["man", "chek"]).expect(2, &["there is no verb \"chek\""]);
}

#[test]
fn man_and_mandoc_find_nothing_wrong() {
    let place = folder(&[]);
    for page in pages(place.path()) {
        let judge = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("LC_ALL", "C.UTF-8");
            command.env("MANWIDTH", "80").args(arguments).arg(&page);
            match command.output() {
                Err(_) => skip(&format!("there is no {program} to judge man pages")),
                Ok(output) => {
                    let text = [output.stderr, output.stdout].concat();
                    let text = String::from_utf8(text).unwrap();
                    match program {
                        "mandoc" => assert_eq!(text, "", "{}", page.display()),
                        _ => {
                            let warned = text
                                .lines()
                                .find(|l| l.contains("warning") || l.contains("error:"));
                            assert!(
                                output.status.success() && warned.is_none(),
                                "{}: {warned:?}",
                                page.display()
                            );
                        }
                    }
                }
            }
        };
        judge("mandoc", &["-T", "lint", "-W", "warning"]);
        judge("man", &["--warnings", "-E", "UTF-8", "-l"]);
    }
}
