//! Many clients at once.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Clients that are to be registered, each for itself.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkClients {
    /// Each as a `NewClient`, with `status` if it is to be disabled from the start. One that cannot be read fails alone.
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    pub clients: Vec<BulkItem>,
}

/// One of many, as it was sent. A secret may be in it, so `Debug` prints nothing of it.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "server", schema(value_type = Value))]
#[serde(transparent)]
pub struct BulkItem(pub Value);

impl std::fmt::Debug for BulkItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BulkItem(redacted)")
    }
}

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum BulkStatus {
    /// It is registered; or would be, where that was all that was asked.
    Created,
    /// There is a client of its id already, which was left as it is.
    Exists,
    /// It cannot be registered; the errors say why.
    Failed,
}

/// What became of all of them, in the order in which they were sent.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BulkResults {
    /// One for each.
    pub items: Vec<BulkResult>,
}

/// What became of one.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BulkResult {
    /// Its place among those that were sent, from 0.
    pub index: usize,
    /// What became of it.
    pub status: BulkStatus,
    /// Its identifier, as far as it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its secret, where one was made, in this answer and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ItemError>,
}

impl std::fmt::Debug for BulkResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkResult").field("index", &self.index).field("status", &self.status).finish_non_exhaustive()
    }
}

/// A member that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ItemError {
    /// The member; empty where the whole cannot be read.
    pub field: String,
    /// What is wrong with it, and what would do.
    pub detail: String,
}
