//! Plan and realise: sources, Debian packages, kernel, service images, system.
#![forbid(unsafe_code)]
