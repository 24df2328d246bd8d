//! What a service opens, seen in a machine that runs it untrimmed.

use crate::common::Example;
use crate::common::program::{Nos, at};
use serde_json::{Value, json};

/// Asks for a page as no other program of this machine has to be there for.
const REQUEST: &str = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/$NOS_PORT_80 && \
    printf \"GET /style.css HTTP/1.0\\r\\n\\r\\n\" >&3 && grep -q \"200 OK\" <&3'";

fn find<'a>(list: &'a Value, path: &str) -> Option<&'a Value> {
    let list = list.as_array().unwrap();
    list.iter().find(|one| one["path"] == path)
}

#[test]
fn a_traced_run_names_what_trimming_would_miss() {
    let web = Example::copy("web");
    // By a name that only nginx knows the folder of.
    let settings = String::from_utf8(web.read("nginx.conf")).unwrap();
    let settings = settings.replace("/etc/nginx/mime.types", "mime.types");
    // And a log that is opened by its path, which is the service's own to open.
    let settings = settings.replace("error_log        stderr", "error_log /dev/stderr");
    assert!(settings.contains("/dev/stderr"), "{settings}");
    web.write("nginx.conf", settings);

    let arguments = ["trim", &web.spec(), "--trace", "--exec", REQUEST];
    let images = Nos::new(arguments).json();
    let image = at(&images, "/0");
    assert_eq!(image["whole"], true);
    let opened = &image["opened"];
    let missed = find(opened, "/etc/nginx/mime.types").expect("its configuration names it");
    assert_eq!(missed["stays"], false);
    assert_eq!(missed["package"], "nginx-common");
    assert_eq!(missed["by"], json!(["web"]));
    assert_eq!(image["block"], "service web");
    assert_eq!(image["keep"], json!(["/etc/nginx/mime.types"]));
    for path in [
        "/usr/sbin/nginx",
        "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/etc/nginx/nginx.conf",
        // By the request alone.
        "/srv/www/style.css",
    ] {
        let found = find(opened, path).unwrap_or_else(|| panic!("{path}: {opened:#}"));
        assert_eq!(found["stays"], true, "{path}");
    }
    let idle = &image["not_opened"];
    assert!(find(idle, "/srv/www/style.css").is_none(), "{idle:#}");

    // The last result of the spec is not the traced one.
    let plan = Nos::new(["plan", &web.spec(), "--offline"]).json();
    let text = plan.to_string();
    assert!(!text.contains("nos.trace"), "{text}");
}
