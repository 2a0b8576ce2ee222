//! Structures, arrays and 31-bit integers, made and read by the host.

use innkeeper::{
    AnyRef, ArrayRef, CompositeType, DefinedType, Engine, EqRef, ExternRef, FieldType, Finality, HeapType,
    I31, Mutability, RefType, StorageType, StructRef, SubType, TypeId, Val, ValType,
};

use super::{engines, instance};

fn field(storage: StorageType, mutability: Mutability) -> FieldType {
    FieldType { storage, mutability }
}

fn defined(engine: &Engine, composite: CompositeType) -> DefinedType {
    DefinedType::new(engine, SubType { finality: Finality::Final, supertype: None, composite }).unwrap()
}

/// The type that a function's first parameter refers to.
fn type_of_param(ty: &innkeeper::FuncType) -> TypeId {
    match ty.params()[0] {
        ValType::Ref(RefType { heap: HeapType::Concrete(id), .. }) => id,
        other => panic!("{other}"),
    }
}

#[test]
fn the_host_makes_structures_that_guests_read_and_change() {
    let text = r#"(module
        (type $point (struct (field (mut i32)) (field (mut i8)) (field v128) (field (mut externref))))
        (func (export "sum") (param (ref null $point)) (result i32)
            (struct.set $point 0 (local.get 0) (i32.add (struct.get $point 0 (local.get 0)) (i32.const 1)))
            (i32.add (struct.get $point 0 (local.get 0)) (struct.get_s $point 1 (local.get 0))))
        (func (export "lane") (param (ref $point)) (result i64)
            (i64x2.extract_lane 1 (struct.get $point 2 (local.get 0)))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let sum = instance.get_func(&store, "sum").unwrap();
        let id = type_of_param(&sum.ty(&store).unwrap());
        let object = ExternRef::new(&mut store, "attached").unwrap();
        let vector = Val::V128((7 << 64) | 3);
        // The 8-bit field keeps the low bits: -2.
        let fields = [Val::I32(40), Val::I32(0x1fe), vector, Val::ExternRef(Some(object))];
        let point = StructRef::new(&mut store, id, &fields).unwrap();
        let mut results = [Val::I32(0)];
        sum.call(&mut store, &[point.into()], &mut results).unwrap();
        assert_eq!(results, [Val::I32(39)]);
        assert_eq!(point.field(&mut store, 0).unwrap(), Val::I32(41));
        assert_eq!(point.field(&mut store, 1).unwrap(), Val::I32(0xfe), "zero-extended");
        assert_eq!(point.field(&mut store, 2).unwrap(), vector);
        let Val::ExternRef(Some(back)) = point.field(&mut store, 3).unwrap() else { panic!() };
        assert_eq!(back.data(&store).unwrap().unwrap().downcast_ref(), Some(&"attached"));
        point.set_field(&mut store, 0, Val::I32(1)).unwrap();
        point.set_field(&mut store, 3, Val::ExternRef(None)).unwrap();
        let fields = point.fields(&mut store).unwrap();
        assert_eq!((fields[0], fields[3], fields.len()), (Val::I32(1), Val::ExternRef(None), 4));
        assert!(point.set_field(&mut store, 2, vector).unwrap_err().to_string().contains("never changes"));
        assert!(
            point.set_field(&mut store, 0, Val::I64(1)).unwrap_err().to_string().contains("is i64, not i32")
        );
        assert!(point.field(&mut store, 4).unwrap_err().to_string().contains("has 4 fields"));
        assert_eq!(point.ty(&store).unwrap(), id);
        let mut lane = [Val::I64(0)];
        let get = instance.get_func(&store, "lane").unwrap();
        get.call(&mut store, &[point.into()], &mut lane).unwrap();
        assert_eq!(lane, [Val::I64(7)]);
    }
}

#[test]
fn the_host_makes_arrays_that_guests_read_and_change() {
    let text = r#"(module
        (type $bytes (array (mut i8))) (type $refs (array (mut externref))) (type $vectors (array (mut v128)))
        (func (export "bytes") (param (ref $bytes) i32) (result i32)
            (array.set $bytes (local.get 0) (i32.const 0) (i32.const 9))
            (array.get_u $bytes (local.get 0) (local.get 1)))
        (func (export "refs") (param (ref $refs)) (result i32) (array.len (local.get 0)))
        (func (export "vectors") (param (ref $vectors)) (result v128)
            (array.get $vectors (local.get 0) (i32.const 1))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let bytes_of = instance.get_func(&store, "bytes").unwrap();
        let id = type_of_param(&bytes_of.ty(&store).unwrap());
        let elements: Vec<Val> = (0..5).map(|i| Val::I32(250 + i * 3)).collect();
        let bytes = ArrayRef::new_fixed(&mut store, id, &elements).unwrap();
        let mut results = [Val::I32(0)];
        bytes_of.call(&mut store, &[bytes.into(), Val::I32(3)], &mut results).unwrap();
        assert_eq!(results, [Val::I32(259 & 0xff)]);
        let all = bytes.elements(&mut store).unwrap();
        assert_eq!(all, [9, 253, 0, 3, 6].map(Val::I32));
        bytes.set(&mut store, 4, Val::I32(-1)).unwrap();
        assert_eq!(bytes.get(&mut store, 4).unwrap(), Val::I32(0xff));
        assert!(bytes.get(&mut store, 5).unwrap_err().to_string().contains("has 5 elements"));
        assert!(bytes.set(&mut store, 0, Val::F32(0)).is_err());
        let refs_of = instance.get_func(&store, "refs").unwrap();
        let id = type_of_param(&refs_of.ty(&store).unwrap());
        let object = ExternRef::new(&mut store, 1_i32).unwrap();
        let refs = ArrayRef::new(&mut store, id, Val::ExternRef(Some(object)), 3).unwrap();
        refs_of.call(&mut store, &[refs.into()], &mut results).unwrap();
        assert_eq!((results[0], refs.len(&store).unwrap()), (Val::I32(3), 3));
        let vectors_of = instance.get_func(&store, "vectors").unwrap();
        let id = type_of_param(&vectors_of.ty(&store).unwrap());
        let vectors = ArrayRef::new(&mut store, id, Val::V128(u128::MAX / 3), 2).unwrap();
        let mut vector = [Val::V128(0)];
        vectors_of.call(&mut store, &[vectors.into()], &mut vector).unwrap();
        assert_eq!(vector, [Val::V128(u128::MAX / 3)]);
    }
}

#[test]
fn integers_of_31_bits_need_no_store() {
    assert_eq!(I31::new(1 << 30), None);
    assert_eq!(I31::new(-(1 << 30)).unwrap().get(), -(1 << 30));
    let all_ones = I31::wrapping(-1);
    assert_eq!((all_ones.get(), all_ones.get_unsigned()), (-1, 0x7fff_ffff));
    let text = r#"(module (func (export "double") (param i31ref) (result (ref i31))
        (ref.i31 (i32.mul (i31.get_s (local.get 0)) (i32.const 2)))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let double = instance.get_typed_func::<Option<I31>, I31>(&store, "double").unwrap();
        assert_eq!(double.call(&mut store, I31::new(-21)).unwrap().get(), -42);
        let any = AnyRef::from_i31(&mut store, I31::wrapping(3));
        assert_eq!((any.as_i31(&store).unwrap(), any.as_struct(&store).unwrap()), (I31::new(3), None));
    }
}

#[test]
fn references_are_told_apart_and_compared() {
    let engine = innkeeper::engine(innkeeper::Config::default());
    let (mut store, _) = instance(&engine, "(module)");
    let number = field(StorageType::Val(ValType::I32), Mutability::Const);
    let structure = defined(&engine, CompositeType::Struct([number].into()));
    let array = defined(&engine, CompositeType::Array(number));
    let a = StructRef::new(&mut store, structure.id(), &[Val::I32(1)]).unwrap();
    let b = StructRef::new(&mut store, structure.id(), &[Val::I32(1)]).unwrap();
    let c = ArrayRef::new(&mut store, array.id(), Val::I32(1), 0).unwrap();
    assert!(EqRef::same(&store, a.into(), a.into()).unwrap());
    assert!(
        !EqRef::same(&store, a.into(), b.into()).unwrap()
            && !EqRef::same(&store, a.into(), c.into()).unwrap()
    );
    let (any_a, any_c) = (AnyRef::from(a), AnyRef::from(c));
    assert_eq!((any_a.as_struct(&store).unwrap(), any_a.as_array(&store).unwrap()), (Some(a), None));
    assert_eq!((any_c.as_array(&store).unwrap(), any_c.as_struct(&store).unwrap()), (Some(c), None));
    let object = AnyRef::from_extern(ExternRef::new(&mut store, ()).unwrap());
    assert_eq!(object.as_eq(&store).unwrap(), None);
    assert!(any_a.as_eq(&store).unwrap().is_some());
    assert!(matches!(engine.composite_type(array.id()), Some(CompositeType::Array(_))));
    // One kind of type is not the other's.
    assert!(
        StructRef::new(&mut store, array.id(), &[]).unwrap_err().to_string().contains("is no structure's")
    );
    assert!(ArrayRef::new(&mut store, structure.id(), Val::I32(0), 1).is_err());
    let id = structure.id();
    drop((structure, array));
    // The store holds the type for as long as it may have objects of it.
    assert!(engine.sub_type(id).is_some());
    drop(store);
    assert!(engine.sub_type(id).is_none());
}

#[test]
fn a_type_with_a_supertype_is_not_the_hosts_to_define() {
    let engine = innkeeper::engine(innkeeper::Config::default());
    let open = SubType {
        finality: Finality::Open,
        supertype: None,
        composite: CompositeType::Struct([field(StorageType::I8, Mutability::Var)].into()),
    };
    let open = DefinedType::new(&engine, open).unwrap();
    // Its field is not at all like the supertype's: whoever relied on it would take a number for a reference.
    let forged = SubType {
        finality: Finality::Final,
        supertype: Some(open.id()),
        composite: CompositeType::Struct(
            [field(StorageType::Val(ValType::EXTERNREF), Mutability::Var)].into(),
        ),
    };
    assert!(DefinedType::new(&engine, forged).unwrap_err().to_string().contains("supertype"));
}

/// Handles to one object are unequal, as each is a place of its own, and the same.
#[test]
fn handles_that_were_got_separately_are_the_same_object() {
    let text = r#"(module (func (export "back") (param externref) (result externref) (local.get 0)))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let back = instance.get_typed_func::<ExternRef, Option<ExternRef>>(&store, "back").unwrap();
        let [a, b] = [1, 1].map(|seat: i32| ExternRef::new(&mut store, seat).unwrap());
        let again = back.call(&mut store, a).unwrap().unwrap();
        assert!(ExternRef::same(&store, a, again).unwrap() && a != again);
        assert!(!ExternRef::same(&store, a, b).unwrap());
        let [a, b, again] = [a, b, again].map(AnyRef::from_extern);
        assert!(AnyRef::same(&store, a, again).unwrap() && !AnyRef::same(&store, b, again).unwrap());
        let seven = I31::new(7).unwrap();
        let numbers = [seven, seven].map(|number| AnyRef::from_i31(&mut store, number));
        assert!(AnyRef::same(&store, numbers[0], numbers[1]).unwrap());
        store.release_references();
        assert!(AnyRef::same(&store, a, a).is_err(), "no longer good");
    }
}
