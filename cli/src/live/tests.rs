use super::*;
use expect_test::{Expect, expect};
use nos_builder::events::Outlined;

fn outline() -> Outline {
    let action = |label: &str, inputs: &[usize], ms: u64| Outlined {
        label: label.into(),
        inputs: inputs.to_vec(),
        estimate: Some(Duration::from_millis(ms)),
        cores: 1,
    };
    Outline {
        actions: vec![
            action("unpack nginx 1.26", &[], 8000),
            action("unpack libc6 2.41", &[], 400),
            action("compose web", &[0, 1], 100),
            action("image web", &[2], 2000),
            action("kernel", &[], 100_000),
            action("initrd", &[4], 3000),
            action("system edge", &[3, 5], 10),
        ],
        cores: 4,
        keep_going: true,
    }
}

fn started(labels: &[&str]) -> (Live, Instant) {
    let start = Instant::now();
    let mut live = Live::default();
    live.hear(&Event::Outline(&outline()), start);
    for label in labels {
        live.hear(&Event::Started { label }, start);
    }
    (live, start)
}

fn shows(live: &Live, now: Instant, (columns, rows): (usize, usize), expected: &Expect) {
    let lines = live.lines(now, columns, rows, false);
    assert!(lines.len() < rows.max(2), "{lines:#?}");
    for line in &lines {
        assert!(line.chars().count() < columns, "{line}");
    }
    // A snapshot would lose the margin that its lines share.
    let lines: Vec<String> = lines.into_iter().map(|line| format!("|{line}\n")).collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn a_build_is_a_tree_of_what_runs() {
    let (mut live, start) = started(&["unpack nginx 1.26", "unpack libc6 2.41", "kernel"]);
    let soon = start + Duration::from_millis(300);
    shows(
        &live,
        soon,
        (100, 24),
        &expect![[r#"
        |     Working system edge
        |             ├─ image web
        |             │  └─ compose web
        |             │     ├─ ▸ unpack nginx 1.26  0 s of about 8 s
        |             │     └─ ▸ unpack libc6 2.41
        |             └─ initrd
        |                └─ ▸ kernel  0 s of about 1 min 40 s
        |             0 of 7 done, 3 running, 4 waiting, about 1 min 42 s left
    "#]],
    );
    let elapsed = Duration::from_millis(500);
    for label in ["unpack libc6 2.41", "kernel"] {
        live.hear(&Event::Finished { label, elapsed }, start + elapsed);
    }
    live.hear(&Event::Started { label: "initrd" }, start + elapsed);
    let later = start + Duration::from_millis(2600);
    shows(
        &live,
        later,
        (100, 24),
        &expect![[r#"
        |     Working system edge
        |             ├─ image web
        |             │  └─ compose web
        |             │     └─ ▸ unpack nginx 1.26  2 s of about 8 s
        |             └─ ▸ initrd  2 s of about 3 s
        |             2 of 7 done, 2 running, 3 waiting; 2 s, about 7 s left
    "#]],
    );
    // What was there already counts as done.
    let label = "compose web";
    live.hear(&Event::Reused { label }, later);
    assert!(live.words(later).contains("3 of 7 done"));
    live.over();
    assert!(live.is_idle());
}

#[test]
fn a_failure_stays_in_sight_with_what_will_not_run() {
    let (mut live, start) = started(&["unpack nginx 1.26", "kernel"]);
    let (label, elapsed) = ("unpack nginx 1.26", Duration::from_secs(3));
    live.hear(&Event::Failed { label, elapsed }, start + elapsed);
    shows(
        &live,
        start + elapsed,
        (100, 24),
        &expect![[r#"
            |     Working system edge  will not run
            |             ├─ image web  will not run
            |             │  └─ compose web  will not run
            |             │     └─ ✗ unpack nginx 1.26  failed after 3 s
            |             └─ initrd
            |                └─ ▸ kernel  3 s of about 1 min 40 s
            |             0 of 7 done, 1 running, 2 waiting, 1 failed; 3 s, about 1 min 40 s left
        "#]],
    );
    let colored = live.lines(start + elapsed, 100, 24, true).join("\n");
    assert!(colored.contains("\x1b[1;31m✗ unpack nginx 1.26\x1b[0m  failed"));
    // Where a failure stops everything, nothing waits any more.
    live.outline.keep_going = false;
    live.hear(&Event::Failed { label, elapsed }, start + elapsed);
    assert_eq!(live.counts().waiting, 0);
}

#[test]
fn small_terminals_get_what_there_is_room_for() {
    let (mut live, start) = started(&["unpack nginx 1.26", "unpack libc6 2.41", "kernel"]);
    let now = start + Duration::from_secs(70);
    shows(
        &live,
        now,
        (100, 8),
        &expect![[r#"
        |     Working system edge
        |             ├─ compose web
        |             │  ├─ ▸ unpack nginx 1.26  1 min 10 s of about 8 s
        |             │  └─ ▸ unpack libc6 2.41  1 min 10 s
        |             └─ ▸ kernel  1 min 10 s of about 1 min 40 s
        |             0 of 7 done, 3 running, 4 waiting; 1 min 10 s, about 33 s left
    "#]],
    );
    shows(
        &live,
        now,
        (40, 6),
        &expect![[r#"
        |▸ unpack nginx 1.26  1 min 10 s of abou
        |▸ unpack libc6 2.41  1 min 10 s
        |▸ kernel  1 min 10 s of about 1 min 40 
        |0 of 7 done, about 33 s left
    "#]],
    );
    shows(
        &live,
        now,
        (20, 5),
        &expect![[r#"
        |▸ unpack nginx 1.26
        |▸ unpack libc6 2.41
        |▸ kernel  1 min 10 
        |0/7, 33 s
    "#]],
    );
    shows(
        &live,
        now,
        (20, 4),
        &expect![[r#"
        |▸ unpack nginx 1.26
        |… and 2 more
        |0/7, 33 s
    "#]],
    );
    let label = "unpack libc6 2.41";
    let elapsed = Duration::from_secs(1);
    live.hear(&Event::Failed { label, elapsed }, now);
    shows(
        &live,
        now,
        (30, 4),
        &expect![[r#"
        |✗ unpack libc6 2.41  failed a
        |… and 2 more
        |0/7, 1 failed, 33 s
    "#]],
    );
    for columns in 0..40 {
        for rows in 0..20 {
            let lines = live.lines(now, columns, rows, true);
            assert!(lines.len() <= rows.max(1), "{columns} × {rows}: {lines:?}");
        }
    }
}

#[test]
fn what_two_read_is_shown_once() {
    let start = Instant::now();
    let mut outline = outline();
    outline.actions[5].inputs.push(0);
    let mut live = Live::default();
    live.hear(&Event::Outline(&outline), start);
    let label = "unpack nginx 1.26";
    live.hear(&Event::Started { label }, start);
    let lines = live.lines(start, 80, 24, false);
    assert_eq!(lines.iter().filter(|l| l.contains(label)).count(), 1);
}

#[test]
fn the_time_left_is_that_of_the_path_or_of_all_the_work() {
    let (mut live, start) = started(&["kernel"]);
    let later = start + Duration::from_secs(10);
    assert_eq!(live.left(later).0, Duration::from_millis(93_010));
    for action in &mut live.outline.actions {
        action.cores = 4;
    }
    live.outline.cores = 4;
    assert_eq!(live.left(later).0, Duration::from_millis(103_510));
    live.outline.actions[1].estimate = None;
    assert_eq!(live.left(later), (Duration::from_millis(103_110), false));
    assert!(live.words(later).contains("at least 1 min 43 s left"));
}

#[test]
fn downloads_and_other_work_are_one_line() {
    let now = Instant::now();
    let mut live = Live::default();
    let (done, total) = (1 << 20, Some(4 << 20));
    for name in ["a", "b"] {
        live.hear(&Event::Download { name, done, total }, now);
    }
    live.work("checking", 5, None);
    shows(
        &live,
        now,
        (80, 24),
        &expect![[r#"
        |     Working checking 5 B; fetching 2 files 2.00 MiB of 8.00 MiB (25 %)
    "#]],
    );
    live.over();
    let (files, bytes) = (40, 80 << 20);
    live.hear(&Event::Wanted { files, bytes }, now);
    for name in ["a", "b"] {
        live.hear(&Event::Download { name, done, total }, now);
    }
    let done = 4 << 20;
    live.hear(
        &Event::Download {
            name: "b",
            done,
            total,
        },
        now,
    );
    live.hear(&Event::Downloaded { name: "b" }, now);
    let later = now + Duration::from_secs(4);
    shows(
        &live,
        later,
        (100, 24),
        &expect![[r#"
        |     Working fetched 1 of 40 files, 5.00 MiB of 80.0 MiB (6 %), about 1 min 0 s left
    "#]],
    );
    shows(
        &live,
        later,
        (20, 24),
        &expect![[r#"
        |1/40 files 6 %
    "#]],
    );
}
