//! Resources: the host's, with a type that `with` names and without, and guests'.

use std::collections::BTreeMap;

use innkeeper::Error;
use innkeeper::component::{Borrowed, Linker, Resource, ResourceTable, bindgen};

use crate::{component, store};

/// What is behind a counter.
pub(crate) struct Count(u32);

mod counting {
    super::bindgen!({
        inline: "
            package test:counting;
            interface counters {
                resource counter {
                    constructor(start: u32);
                    increment: func(by: u32) -> u32;
                    larger: static func(a: borrow<counter>, b: borrow<counter>) -> u32;
                    merge: static func(of: list<counter>) -> counter;
                }
                resource ticket { number: func() -> u32; }
                take: func(counter: counter) -> u32;
                issue: func() -> option<ticket>;
            }
            world counting { import counters; export run: func() -> u32; }",
        with: { "test:counting/counters/counter": super::Count },
    });
}

/// A constructor, methods, static functions and destructors of the host.
#[test]
fn counters_of_the_host() {
    use counting::test::counting::counters::{Counter, Host, HostCounter, HostTicket, Ticket};
    const WIT: &str = "package test:counting; interface counters {
        resource counter { constructor(start: u32); increment: func(by: u32) -> u32; larger: static func(a: borrow<counter>, b: borrow<counter>) -> u32; merge: static func(of: list<counter>) -> counter; }
        resource ticket { number: func() -> u32; } take: func(counter: counter) -> u32; issue: func() -> option<ticket>; }
        world counting { import counters; export run: func() -> u32; }";
    #[derive(Default)]
    struct Counters {
        table: ResourceTable,
        dropped: u32,
        tickets: BTreeMap<u32, u32>,
    }
    impl HostCounter for Counters {
        fn new(&mut self, start: u32) -> Resource<Counter> {
            self.table.push(Count(start)).unwrap()
        }

        fn increment(&mut self, this: Borrowed<'_, Counter>, by: u32) -> u32 {
            let count = self.table.borrowed_mut(this).unwrap();
            count.0 += by;
            count.0
        }

        fn larger(&mut self, a: Borrowed<'_, Counter>, b: Borrowed<'_, Counter>) -> u32 {
            self.table.borrowed(a).unwrap().0.max(self.table.borrowed(b).unwrap().0)
        }

        fn merge(&mut self, of: Vec<Resource<Counter>>) -> Resource<Counter> {
            let sum = of.into_iter().map(|counter| self.table.delete(counter).unwrap().0).sum();
            self.table.push(Count(sum)).unwrap()
        }

        fn drop(&mut self, rep: Resource<Counter>) -> Result<(), Error> {
            self.dropped += 1;
            self.table.delete(rep).map(drop)
        }
    }
    impl HostTicket for Counters {
        fn number(&mut self, this: Borrowed<'_, Ticket>) -> u32 {
            self.tickets[&this.rep()]
        }

        fn drop(&mut self, rep: Resource<Ticket>) -> Result<(), Error> {
            self.tickets.remove(&rep.rep());
            Ok(())
        }
    }
    impl Host for Counters {
        fn take(&mut self, counter: Resource<Counter>) -> u32 {
            self.table.delete(counter).unwrap().0
        }

        fn issue(&mut self) -> Option<Resource<Ticket>> {
            self.tickets.insert(5, 100);
            Some(Resource::new(5))
        }
    }
    let imports = r#"
        (import "test:counting/counters" "[constructor]counter" (func $new (param i32) (result i32)))
        (import "test:counting/counters" "[method]counter.increment" (func $increment (param i32 i32) (result i32)))
        (import "test:counting/counters" "[static]counter.larger" (func $larger (param i32 i32) (result i32)))
        (import "test:counting/counters" "[static]counter.merge" (func $merge (param i32 i32) (result i32)))
        (import "test:counting/counters" "[resource-drop]counter" (func $drop (param i32)))
        (import "test:counting/counters" "[method]ticket.number" (func $number (param i32) (result i32)))
        (import "test:counting/counters" "[resource-drop]ticket" (func $drop-ticket (param i32)))
        (import "test:counting/counters" "take" (func $take (param i32) (result i32)))
        (import "test:counting/counters" "issue" (func $ticket (param i32)))"#;
    let run = r#"(func (export "run") (result i32)
        (local $a i32) (local $b i32) (local $sum i32)
        (local.set $a (call $new (i32.const 1)))
        (local.set $b (call $new (i32.const 10)))
        (local.set $sum (call $increment (local.get $a) (i32.const 2)))
        (local.set $sum (i32.add (local.get $sum) (call $larger (local.get $a) (local.get $b))))
        (drop (call $pair (local.get $a) (local.get $b)))
        (local.set $a (call $merge (i32.const 16) (i32.const 2)))
        (local.set $sum (i32.add (local.get $sum) (call $take (local.get $a))))
        (call $drop (call $new (i32.const 0)))
        (call $ticket (i32.const 32))
        (local.set $sum (i32.add (local.get $sum) (call $number (i32.load (i32.const 36)))))
        (call $drop-ticket (i32.load (i32.const 36)))
        (local.get $sum))"#;
    let (engine, mut store) = store(Counters::default());
    let component = component(&engine, WIT, "counting", imports, run);
    let mut linker = Linker::new(&engine);
    counting::Counting::add_to_linker(&mut linker, |counters: &mut Counters| counters).unwrap();
    let counting = counting::Counting::instantiate(&mut store, &linker, &component).unwrap();
    assert_eq!(counting.call_run(&mut store).unwrap(), 3 + 10 + 13 + 100);
    assert_eq!((store.data().dropped, store.data().tickets.len()), (1, 0));
}

mod shop {
    super::bindgen!({
        inline: "
            package test:shop;
            interface goods {
                resource item { constructor(price: u32); price: func() -> u32; }
                resource basket { constructor(); add: func(item: item); total: func() -> u32; cheaper: static func(a: borrow<item>, than: borrow<basket>) -> bool; }
                record deal { item: item, pieces: u32 }
                offer: func() -> deal;
            }
            interface buying { use goods.{item, deal as bargain}; buy: func(item: item) -> u32; accept: func(bargain: bargain) -> u32; }
            world shop { export goods; export buying; }",
    });
}

/// Resources of a guest's, of two types in one function, used by another interface.
#[test]
fn items_and_baskets_of_a_guest() {
    const WIT: &str = "package test:shop; interface goods {
        resource item { constructor(price: u32); price: func() -> u32; }
        resource basket { constructor(); add: func(item: item); total: func() -> u32; cheaper: static func(a: borrow<item>, than: borrow<basket>) -> bool; }
        record deal { item: item, pieces: u32 } offer: func() -> deal; }
        interface buying { use goods.{item, deal as bargain}; buy: func(item: item) -> u32; accept: func(bargain: bargain) -> u32; }
        world shop { export goods; export buying; }";
    // An item is its price, and there is one basket, whose total is at 64.
    let imports = r#"
        (import "[export]test:shop/goods" "[resource-new]item" (func $new-item (param i32) (result i32)))
        (import "[export]test:shop/goods" "[resource-rep]item" (func $item (param i32) (result i32)))
        (import "[export]test:shop/goods" "[resource-new]basket" (func $new-basket (param i32) (result i32)))"#;
    let functions = r#"
        (func (export "test:shop/goods#[constructor]item") (param i32) (result i32) (call $new-item (local.get 0)))
        (func (export "test:shop/goods#[method]item.price") (param i32) (result i32) (local.get 0))
        (func (export "test:shop/goods#[dtor]item") (param i32) (i32.store (i32.const 68) (i32.add (i32.load (i32.const 68)) (i32.const 1))))
        (func (export "test:shop/goods#[constructor]basket") (result i32) (call $new-basket (i32.const 64)))
        (func (export "test:shop/goods#[method]basket.add") (param i32 i32)
            (i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (call $item (local.get 1)))))
        (func (export "test:shop/goods#[method]basket.total") (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "test:shop/goods#[static]basket.cheaper") (param i32 i32) (result i32) (i32.lt_u (local.get 0) (i32.load (local.get 1))))
        (func (export "test:shop/goods#offer") (result i32) (call $pair (call $new-item (i32.const 4)) (i32.const 3)))
        (func (export "test:shop/buying#buy") (param i32) (result i32) (call $item (local.get 0)))
        (func (export "test:shop/buying#accept") (param i32 i32) (result i32) (i32.mul (call $item (local.get 0)) (local.get 1)))"#;
    let (engine, mut store) = store(());
    let component = component(&engine, WIT, "shop", imports, functions);
    let shop = shop::Shop::instantiate(&mut store, &Linker::new(&engine), &component).unwrap();
    let (goods, buying) = (shop.test_shop_goods(), shop.test_shop_buying());
    let item = goods.item().call_new(&mut store, 7).unwrap();
    assert_eq!(goods.item().call_price(&mut store, &item).unwrap(), 7);
    let basket = goods.basket().call_new(&mut store).unwrap();
    assert!(!goods.basket().call_cheaper(&mut store, item.borrow(), basket.borrow()).unwrap());
    goods.basket().call_add(&mut store, &basket, item).unwrap();
    assert_eq!(goods.basket().call_total(&mut store, &basket).unwrap(), 7);
    let cheap = goods.item().call_new(&mut store, 5).unwrap();
    assert!(goods.basket().call_cheaper(&mut store, cheap.borrow(), basket.borrow()).unwrap());
    assert_eq!(buying.call_buy(&mut store, cheap).unwrap(), 5);
    let offer = goods.call_offer(&mut store).unwrap();
    assert_eq!(offer.pieces, 3);
    assert_eq!(buying.call_accept(&mut store, &offer).unwrap(), 12);
    let error = buying.call_accept(&mut store, &offer).unwrap_err();
    assert!(error.to_string().contains("the resource handle is gone"), "{error}");
    goods.item().call_new(&mut store, 1).unwrap().drop(&mut store).unwrap();
}
