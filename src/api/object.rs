//! Members that are objects. serde takes an array for a struct, too, member by member: nobody means that, and nothing
//! says in which order they come.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What was written as an object.
struct Object<T>(T);

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_map(Members(PhantomData))
    }
}

/// An object.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Object::deserialize(value).map(|Object(object)| object)
}

/// A list of objects.
pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    Vec::deserialize(value).map(|all: Vec<Object<T>>| all.into_iter().map(|Object(object)| object).collect())
}

/// A member of a merge patch that is an object or null.
pub(super) fn object_member<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(|one: Option<Object<T>>| Some(one.map(|Object(object)| object)))
}

/// A member of a merge patch that is a list of objects.
pub(super) fn objects_member<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<Vec<T>>, D::Error> {
    objects(value).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use crate::api::{ApiPatch, NewApi, NewOrganization, NewProject, OrganizationPatch, ProjectPatch};

    #[test]
    fn an_array_is_no_object() {
        let (policy, scope) = (json!([60, 60]), json!(["orders:read", ""]));
        assert!(from_value::<NewOrganization>(json!({ "id": "a", "secret_policy": policy })).is_err());
        assert!(from_value::<NewProject>(json!({ "id": "a", "secret_policy": [] })).is_err());
        assert!(from_value::<OrganizationPatch>(json!({ "secret_policy": [] })).is_err());
        assert!(from_value::<NewApi>(json!({ "identifier": "urn:a", "scopes": [scope] })).is_err());
        assert!(from_value::<ApiPatch>(json!({ "scopes": [scope] })).is_err());
        assert!(from_value::<ApiPatch>(json!({ "scopes": null })).is_err());
        for quotas in [json!([]), json!({ "tokens": [1] }), json!({ "requests": [] })] {
            assert!(from_value::<NewProject>(json!({ "id": "a", "quotas": quotas })).is_err(), "{quotas}");
            assert!(from_value::<ProjectPatch>(json!({ "quotas": quotas })).is_err(), "{quotas}");
        }

        let made: NewProject = from_value(json!({ "id": "a", "secret_policy": { "max_ttl": 60 } })).unwrap();
        assert_eq!(made.secret_policy.max_ttl, Some(60));
        let patch: OrganizationPatch = from_value(json!({ "secret_policy": null })).unwrap();
        assert_eq!(patch.secret_policy, Some(None));
        assert_eq!(from_value::<OrganizationPatch>(json!({})).unwrap().secret_policy, None);
        let patch: ApiPatch = from_value(json!({ "scopes": [{ "name": "orders:read" }] })).unwrap();
        assert_eq!(patch.scopes.unwrap().len(), 1);
    }
}
