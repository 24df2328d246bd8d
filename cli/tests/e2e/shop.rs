//! An example of real size: five services, from the network to the database and back.

use crate::common::Example;
use crate::common::machine::Machine;

/// A minute and more without KVM, most of it the database's first start.
#[test]
#[ignore = "takes minutes; cargo test -p nos --test e2e shop -- --ignored"]
fn a_shop_answers_through_all_of_its_services() {
    let shop = Example::copy("shop");
    let disk = shop.image("shop.img");
    for sources in [["postgresql", "memcached"], ["postgresql", "memcached"]] {
        let machine = Machine::boot(&shop, Some(&disk));
        for source in sources {
            let answer = machine.get("/");
            assert!(answer.is_whole(), "{answer:?}\n{}", machine.console());
            let page = String::from_utf8(answer.body).unwrap();
            assert!(page.contains("<li>bread: 3.10</li>"), "{page}");
            assert!(page.contains(&format!("From {source}; visit 1.")), "{page}");
        }
        let style = machine.get("/style.css");
        assert_eq!(style.body, shop.read("site/style.css"));
        machine.stop();
    }
}
