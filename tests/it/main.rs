//! The one integration binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "tests"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they skip, and their seed")]
#![allow(clippy::disallowed_methods, clippy::type_complexity, reason = "tests measure and tabulate")]
#![allow(unreachable_pub, missing_docs, reason = "a test binary has no users")]
#![allow(clippy::allow_attributes, reason = "an expectation per lint would fail wherever a test does without it")]

mod app;

mod addresses;
mod api_changes;
mod api_keys;
mod audit;
mod body;
mod client_changes;
mod concurrency;
mod coverage;
mod digest;
mod explain;
mod feed;
mod feed_places;
mod files;
mod follow;
mod forged;
mod forward_auth;
mod gated_store;
mod guard_paths;
mod guarded;
mod guards;
mod house;
mod idempotency;
mod import;
mod introspect;
mod jose_cross;
mod keys;
mod limits;
mod metrics;
mod mishaps;
mod openapi;
mod operators;
mod overlap;
mod pace;
mod process;
mod properties;
mod quotas;
mod raw;
mod retire;
mod revoke;
mod source;
mod store_contract;
mod store_find;
mod store_registry;
mod token;
mod unreadable;
mod usage;
mod vectors;
