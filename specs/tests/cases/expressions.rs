//! Wrong specs: expressions.

use crate::{HOST, SERVICE, wrong};
use expect_test::expect;

pub(crate) fn cases() {
    wrong(
        &[
            r#"let a = 1 + "a"
let b = -"a"
let c = 1 < "a"
let d = 9223372036854775807 + 1
let e = not 1
let f = 1 == 1s
let g = 1 in 2
"#,
            SERVICE,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0410]: `+` does not join a number and a text
             --> a.nos:1:9
              |
            1 | let a = 1 + "a"
              |         -^^^---
              |         |   |
              |         |   a text
              |         a number
              |
              = help: join two of one type; a number is put into a text by `${…}`

            error[E0410]: `-` stands before numbers, not before a text
             --> a.nos:2:9
              |
            2 | let b = -"a"
              |         ^^^^
              |
              = help: take the `-` out

            error[E0410]: `<` does not join a number and a text
             --> a.nos:3:9
              |
            3 | let c = 1 < "a"
              |         -^^^---
              |         |   |
              |         |   a text
              |         a number
              |
              = help: give it two numbers, two sizes or two times

            error[E0413]: the result is larger than any number
             --> a.nos:4:9
              |
            4 | let d = 9223372036854775807 + 1
              |         ^^^^^^^^^^^^^^^^^^^^^^^
              |
              = help: make its parts smaller: numbers lie between -9223372036854775808 and 9223372036854775807

            error[E0401]: a condition is true or false, not a number
             --> a.nos:5:13
              |
            5 | let e = not 1
              |             ^
              |
              = help: compare it with something: `x == "a"`, `n > 1`

            error[E0410]: `==` does not join a number and a time
             --> a.nos:6:9
              |
            6 | let f = 1 == 1s
              |         -^^^^--
              |         |    |
              |         |    a time
              |         a number
              |
              = help: compare two values of one type

            error[E0410]: `in` does not join a number and a number
             --> a.nos:7:9
              |
            7 | let g = 1 in 2
              |         -^^^^-
              |         |    |
              |         |    a number
              |         a number
              |
              = help: `in` looks for a value in a list, or for a name in a record
        "#]],
    );
    wrong(
        &[
            r#"let a = range(1, 99999999)
let b = range("a")
"#,
            SERVICE,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0411]: this range has more than 10000 numbers
             --> a.nos:1:9
              |
            1 | let a = range(1, 99999999)
              |         ^^^^^^^^^^^^^^^^^^
              |
              = help: take a shorter one

            error[E0406]: `range` takes two numbers: the first and the last
             --> a.nos:2:9
              |
            2 | let b = range("a")
              |         ^^^^^^^^^^
              |
              = help: write `range(1, 10)`
        "#]],
    );
    wrong(
        "let a = join([1, 2])\nhost h {\n  services = []\n}\n",
        expect![[r#"
            error[E0406]: `join` takes a list and the text between its elements
             --> a.nos:1:9
              |
            1 | let a = join([1, 2])
              |         ^^^^^^^^^^^^
              |
              = help: write `join(["a", "b"], ", ")`
        "#]],
    );
    wrong(
        "let a = join([[1], 2], \"\")\nhost h {\n  services = []\n}\n",
        expect![[r#"
            error[E0412]: a list cannot be put into a text
             --> a.nos:1:15
              |
            1 | let a = join([[1], 2], "")
              |               ^^^
              |
              = help: put texts, numbers, sizes, times, true, false or blocks into texts
        "#]],
    );
}
