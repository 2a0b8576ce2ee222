//! Types that several worlds share, in one invocation and across two.

use innkeeper::component::{Linker, bindgen};

use crate::{component, store};

mod two {
    super::bindgen!({
        inline: "
            package test:two;
            interface types { record user { name: string, age: u8 } }
            interface users { use types.{user}; find: func(name: string) -> option<user>; }
            interface admin { use types.{user}; older: func(user: user) -> user; }
            world reader { import users; export oldest: func() -> u8; }
            world writer { import users; export admin; }",
        worlds: ["reader", "writer"],
    });
}

mod again {
    super::bindgen!({
        inline: "
            package test:two;
            interface types { record user { name: string, age: u8 } }
            interface users { use types.{user}; find: func(name: string) -> option<user>; }
            interface admin { use types.{user}; older: func(user: user) -> user; }
            world writer { import users; export admin; }",
        with: { "test:two/types": crate::shared::two::test::two::types, "test:two/users": crate::shared::two::test::two::users },
    });
}

const WIT: &str = "package test:two; interface types { record user { name: string, age: u8 } }
    interface users { use types.{user}; find: func(name: string) -> option<user>; } interface admin { use types.{user}; older: func(user: user) -> user; }
    world reader { import users; export oldest: func() -> u8; } world writer { import users; export admin; }";

struct Users;

impl two::test::two::users::Host for Users {
    fn find(&mut self, name: &str) -> Option<two::test::two::types::User> {
        (name == "ada").then(|| two::test::two::types::User { name: name.to_owned(), age: 36 })
    }
}

const WRITER: &str = r#"(func (export "test:two/admin#older") (param i32 i32 i32) (result i32)
    (i32.store8 (i32.const 24) (i32.add (local.get 2) (i32.const 1)))
    (call $pair (local.get 0) (local.get 1)))"#;

/// Two worlds of one invocation: one implementation serves both, and their types are one.
#[test]
fn two_worlds_share_their_types() {
    let (engine, mut store) = store(Users);
    let mut linker = Linker::new(&engine);
    two::Reader::add_to_linker(&mut linker, |users: &mut Users| users).unwrap();
    let imports = r#"(import "test:two/users" "find" (func $find (param i32 i32 i32)))"#;
    let oldest = r#"(data (i32.const 64) "ada")
        (func (export "oldest") (result i32) (call $find (i32.const 64) (i32.const 3) (i32.const 80)) (i32.load8_u (i32.const 92)))"#;
    let reader = component(&engine, WIT, "reader", imports, oldest);
    let reader = two::Reader::instantiate(&mut store, &linker, &reader).unwrap();
    assert_eq!(reader.call_oldest(&mut store).unwrap(), 36);
    let writer = component(&engine, WIT, "writer", "", WRITER);
    let writer = two::Writer::instantiate(&mut store, &linker, &writer).unwrap();
    let user = two::test::two::users::User { name: "bo".to_owned(), age: 41 };
    let older: two::test::two::types::User = writer.test_two_admin().call_older(&mut store, &user).unwrap();
    assert_eq!((older.name.as_str(), older.age), ("bo", 42));
}

/// Interfaces for which there are bindings already.
#[test]
fn bindings_that_are_there_are_used() {
    let (engine, mut store) = store(());
    let writer = component(&engine, WIT, "writer", "", WRITER);
    let writer = again::Writer::instantiate(&mut store, &Linker::new(&engine), &writer).unwrap();
    let user = two::test::two::types::User { name: "cy".to_owned(), age: 1 };
    assert_eq!(writer.test_two_admin().call_older(&mut store, &user).unwrap().age, 2);
}
