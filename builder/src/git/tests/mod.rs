//! Judged by git itself: what it writes must be read, what it says of it must be said here.

mod clone;
mod hostile;
mod packs;

use crate::testing::git::{asked, backend, fed, has_git};
