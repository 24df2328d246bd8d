//! The wrong specs.

pub(crate) mod attributes;
pub(crate) mod builds;
pub(crate) mod channels;
pub(crate) mod expressions;
pub(crate) mod hosts;
pub(crate) mod machines;
pub(crate) mod names;
pub(crate) mod syntax;
pub(crate) mod templates;
pub(crate) mod values;

use crate::HOST;

/// A good template.
const TEMPLATE: &str = r#"template service page(port: number) {
  packages = ["nginx"]
  run = ["/bin/a"]
  listen = [tcp(port)]
}
"#;

/// A service with some lines, and a host that runs it.
fn service(lines: &str) -> String {
    let packages = if lines.contains("packages") {
        ""
    } else {
        "  packages = [\"nginx\"]\n"
    };
    let run = if lines.contains("run =") {
        ""
    } else {
        "  run = [\"/bin/a\"]\n"
    };
    format!(
        "service web {{\n{packages}{run}  {lines}\n}}\n{}",
        HOST.replace("[web]", "[web]\n  disk = { state = 64MiB }")
    )
}

/// A host with some lines.
fn host(lines: &str) -> String {
    format!("host edge {{\n  services = []\n  {lines}\n}}\n")
}

/// Specs whose first message with a fix is gone once the fix is made.
pub(crate) const FIXABLE: &[&str] = &[
    "let a = 64MB\nhost a {\n  services = []\n}\n",
    "host a {\n  services: []\n}\n",
    "host a {\n  services = []\n  disk { keep = 3 }\n}\n",
    "hots a {\n  services = []\n}\n",
    "host a {\n  sevices = []\n}\n",
    "host a {\n  services += []\n}\n",
    "host a {\n  \"services\" = []\n}\n",
    "host a {\n  services = []\n  network = \"dhcp\"\n}\n",
    "host a {\n  services = []\n  network = dcp\n}\n",
    "host a {\n  services = []\n  disk = { keep = \"3\" }\n}\n",
    "host a {\n  services = []\n  disk = { esp = 64 }\n}\n",
    "image i {\n  packages = \"nginx\"\n}\nservice s {\n  image = i\n  run = [\"/a\"]\n}\nhost a {\n  services = [s]\n}\n",
    "image i {\n  packages = [\"Nginx\"]\n}\nservice s {\n  image = i\n  run = [\"/a\"]\n}\nhost a {\n  services = [s]\n}\n",
    "use std.kernel\nhost a {\n  kernel = kernel.stokc\n  services = []\n}\n",
    "host a {\n  services = []\n  network = static(address = [\"192.0.2.1/24\"])\n}\n",
];
