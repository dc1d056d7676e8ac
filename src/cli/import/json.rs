//! Clients as the server takes them, whichever system they come from.

use serde_json::Value;

use crate::cli::bulk::wants_secret;

use super::read::{Found, Wanted, What, objects, text, texts};

pub(super) fn read(documents: Vec<Value>) -> Result<Vec<Found>, String> {
    let read = |(index, mut item): (usize, crate::cli::bulk::Item)| {
        let name = text(&item, "client_id").or_else(|| text(&item, "name")).map(str::to_owned);
        let name = name.unwrap_or_else(|| format!("number {}", index + 1));
        if wants_secret(&item) {
            return Found::refused(
                name,
                "it has neither a client_secret nor a client_secret_hash; `mintage client import --secrets FILE` \
                 makes new ones",
            );
        }
        let scopes = item.remove("scopes");
        let mut wanted = Wanted { secret: "in the clear", ..Wanted::default() };
        if scopes.as_ref().is_some_and(|scopes| !scopes.is_array()) {
            return Found::refused(name, "scopes has to be a list");
        }
        wanted.scopes = texts(scopes.as_ref()).into_iter().map(|scope| (scope, None)).collect();
        // Not a member that the server knows: audiences follow from scopes there.
        wanted.audiences = match item.remove("audience") {
            Some(Value::String(one)) => vec![one],
            list => texts(list.as_ref()),
        };
        if let Some(hash) = text(&item, "client_secret_hash").map(str::to_owned) {
            // For its kind alone: the member is there.
            wanted.set_secret(&hash);
        }
        wanted.item = item;
        Found { name, what: What::Wanted(wanted) }
    };
    Ok(objects(documents, &["clients", "items"])?.into_iter().enumerate().map(read).collect())
}
