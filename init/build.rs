//! Links the program without start files, C library or relocations where it is built for a
//! machine (profile `init`).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=link.ld");
    // Cargo tells a build script neither the profile's name nor its panic strategy, but how it
    // optimises; only `init` does so for size.
    if std::env::var("OPT_LEVEL").as_deref() == Ok("z") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        let script = format!("-Wl,-T,{folder}/link.ld");
        for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", &script] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}
