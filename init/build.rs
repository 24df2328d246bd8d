//! Links the program without start files, C library or relocations where it is built for a
//! machine (profile `init`).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Cargo tells a build script neither the profile's name nor its panic strategy, but how it
    // optimises; only `init` does so for size.
    if std::env::var("OPT_LEVEL").as_deref() == Ok("z") {
        for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}
