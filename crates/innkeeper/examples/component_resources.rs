//! Resources of the host's: a guest holds handles, and what they stand for is a value of Rust that it never sees.
//!
//! Run it with `cargo run -p innkeeper --features bindgen --example component_resources`.

use innkeeper::component::{Borrowed, Component, Linker, Resource, ResourceTable, bindgen};
use innkeeper::{Config, Engine, Error, Store};

bindgen!({
    inline: "
        package example:accounts;
        interface accounts {
            resource account { constructor(owner: string); pay: func(cents: u32) -> u32; }
        }
        world teller { import accounts; export run: func() -> u32; }",
    with: { "example:accounts/accounts/account": Account },
    imports: trappable,
});

const GUEST: &str = r#"(component
    (import "example:accounts/accounts" (instance $accounts
        (export "account" (type $account (sub resource)))
        (export "[constructor]account" (func (param "owner" string) (result (own $account))))
        (export "[method]account.pay" (func (param "self" (borrow $account)) (param "cents" u32) (result u32)))))
    (alias export $accounts "account" (type $account))
    (core module $memory (memory (export "memory") 1))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $memory))
    (core func $open (canon lower (func $accounts "[constructor]account") (memory $memory)))
    (core func $pay (canon lower (func $accounts "[method]account.pay")))
    (core func $close (canon resource.drop $account))
    (core module $guest
        (import "memory" "memory" (memory 1))
        (import "accounts" "open" (func $open (param i32 i32) (result i32)))
        (import "accounts" "pay" (func $pay (param i32 i32) (result i32)))
        (import "accounts" "close" (func $close (param i32)))
        (data (i32.const 0) "Ada")
        (func (export "run") (result i32)
            (local $account i32) (local $sum i32)
            (local.set $account (call $open (i32.const 0) (i32.const 3)))
            (drop (call $pay (local.get $account) (i32.const 250)))
            (local.set $sum (call $pay (local.get $account) (i32.const 50)))
            (call $close (local.get $account))
            (local.get $sum)))
    (core instance $guest (instantiate $guest (with "memory" (instance $memory))
        (with "accounts" (instance (export "open" (func $open)) (export "pay" (func $pay)) (export "close" (func $close))))))
    (func (export "run") (result u32) (canon lift (core func $guest "run"))))"#;

/// What is behind a handle.
#[derive(Debug)]
pub(crate) struct Account {
    owner: String,
    cents: u32,
}

#[derive(Default)]
struct Bank {
    accounts: ResourceTable,
    closed: Vec<Account>,
}

impl example::accounts::accounts::HostAccount for Bank {
    fn new(&mut self, owner: &str) -> Result<Resource<Account>, Error> {
        self.accounts.push(Account { owner: owner.to_owned(), cents: 0 })
    }

    fn pay(&mut self, this: Borrowed<'_, Account>, cents: u32) -> Result<u32, Error> {
        let account = self.accounts.borrowed_mut(this)?;
        account.cents = account.cents.saturating_add(cents);
        Ok(account.cents)
    }

    fn drop(&mut self, rep: Resource<Account>) -> Result<(), Error> {
        self.closed.push(self.accounts.delete(rep)?);
        Ok(())
    }
}

impl example::accounts::accounts::Host for Bank {}

pub(crate) fn main() -> Result<(), Error> {
    let engine = Engine::new(Config::default())?;
    let component = Component::new(&engine, GUEST)?;
    let mut linker = Linker::new(&engine);
    Teller::add_to_linker(&mut linker, |bank: &mut Bank| bank)?;
    let mut store = Store::new(&engine, Bank::default())?;
    let guest = Teller::instantiate(&mut store, &linker, &component)?;
    println!("the guest has {} cents", guest.call_run(&mut store)?);
    for Account { owner, cents } in &store.data().closed {
        println!("{owner}'s account was closed with {cents} cents");
    }
    Ok(())
}
