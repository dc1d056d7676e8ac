//! Schemas of what no Rust type says.

use utoipa::openapi::schema::{AdditionalProperties, SchemaType, Type};
use utoipa::openapi::{Object, ObjectBuilder};

/// The most labels that a client has.
const MAX_LABELS: usize = 64;
/// The longest name and the longest value of a label.
const MAX_LABEL: usize = 512;

fn labels_of(kind: SchemaType, value: SchemaType, description: &str) -> Object {
    let value = ObjectBuilder::new().schema_type(value).max_length(Some(MAX_LABEL));
    ObjectBuilder::new()
        .schema_type(kind)
        .description(Some(description))
        .property_names(Some(
            ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(MAX_LABEL)),
        ))
        .additional_properties(Some(AdditionalProperties::from(value)))
        .max_properties(Some(MAX_LABELS))
        .build()
}

/// The labels of a client that is to be registered.
pub(super) fn labels() -> Object {
    labels_of(Type::Object.into(), Type::String.into(), "For programs.")
}

/// Labels that are to be changed.
pub(super) fn labels_patch() -> Object {
    let or_null = |kind| SchemaType::from_iter([kind, Type::Null]);
    labels_of(or_null(Type::Object), or_null(Type::String), "For programs; null takes a label away, or all of them.")
}
