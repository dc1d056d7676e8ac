//! The members of a client, checked: the same for one that is registered and one that is changed.
//!
//! Each check puts what is wrong into `errors`, so that a caller learns of everything at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::scope::{Scope, ScopeSet};
use crate::server::error::FieldError;
use crate::server::service::apis::MAX_TEXT;
use crate::source_ip::Allowlist;

use super::CatalogSnapshot;

/// The most labels that a client has.
const MAX_LABELS: usize = 64;
/// The most roles that a client holds.
const MAX_ROLES: usize = 32;

/// `description` or `owner`.
pub(in super::super) fn check_text(field: &str, text: &str, errors: &mut Vec<FieldError>) {
    if text.len() > 4 * MAX_TEXT {
        errors.push(FieldError::new(field, format!("at most {} bytes", 4 * MAX_TEXT)));
    }
}

/// All labels that it is to have.
pub(super) fn check_labels(labels: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    if labels.len() > MAX_LABELS || labels.iter().any(|(k, v)| k.is_empty() || k.len() > MAX_TEXT || v.len() > MAX_TEXT)
    {
        errors.push(FieldError::new("labels", format!("at most {MAX_LABELS}, each of at most {MAX_TEXT} bytes")));
    }
}

/// The allowlist of these entries.
pub(super) fn allowlist(entries: &[String], errors: &mut Vec<FieldError>) -> Allowlist {
    Allowlist::parse(entries).unwrap_or_else(|error| {
        errors.push(FieldError::new("ip_allowlist", error));
        Allowlist::default()
    })
}

/// The scopes that `names` are, as far as some API of the organization defines them. Another organization's are none
/// here.
pub(in super::super) fn grantable(
    names: &[String],
    organization: &str,
    catalog: &CatalogSnapshot,
    errors: &mut Vec<FieldError>,
) -> ScopeSet {
    let mut scopes = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let field = || format!("scopes[{index}]");
        match Scope::parse(name) {
            Err(error) => errors.push(FieldError::new(field(), error)),
            Ok(scope) if catalog.defines_for(organization, &scope) => scopes.push(scope),
            Ok(scope) => {
                let hint = match catalog.nearest(name, Some(organization)) {
                    Some(nearest) => format!("did you mean {nearest}?"),
                    None => "define it first: mintage api create IDENTIFIER --scope SCOPE".to_owned(),
                };
                errors.push(FieldError::new(field(), format!("no API defines the scope {scope}; {hint}")));
            }
        }
    }
    scopes.into_iter().collect()
}

/// The roles that `names` are, as far as the organization has them.
pub(super) fn roles(
    names: &[String],
    organization: &str,
    catalog: &CatalogSnapshot,
    errors: &mut Vec<FieldError>,
) -> BTreeSet<String> {
    let mut roles = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        if index >= MAX_ROLES {
            errors.push(FieldError::new("roles", format!("at most {MAX_ROLES}")));
            break;
        }
        if catalog.role(organization, name).is_some() {
            roles.insert(name.clone());
        } else {
            let there: Vec<_> = catalog
                .roles()
                .filter(|role| role.organization.as_deref().is_none_or(|own| own == organization))
                .map(|role| role.name.as_str())
                .collect();
            let detail = format!("there is no role of that name; there is: {}", there.join(" "));
            errors.push(FieldError::new(format!("roles[{index}]"), detail));
        }
    }
    roles
}
