//! Mintage: short-lived, scoped JWTs for machine-to-machine calls (OAuth2 client credentials).
//!
//! | for | feature | start at |
//! |---|---|---|
//! | guarding routes with its tokens | `resource` | [`resource::Guard`] |
//! | fetching tokens | `client` | [`client::TokenSource`] |
//! | running the service | `server` (default) | the `mintage` program, [`server::Server`] |
//!
//! The modules below the features are the vocabulary that all sides share; it does no I/O and has no time of its own.
//! `docs/ARCHITECTURE.md` is the map of the house and its rules.

pub mod api;
#[cfg(any(feature = "client", feature = "resource"))]
pub mod backoff;
pub mod clock;
#[cfg(any(feature = "client", feature = "resource"))]
pub mod credentials;
pub mod crypto;
pub mod id;
pub mod jose;
#[cfg(feature = "resource")]
pub mod limit;
pub mod oauth;
pub mod problem;
pub mod reason;
pub mod scope;
pub mod secret;
pub mod source_ip;

#[cfg(any(feature = "client", feature = "resource"))]
pub mod fetch;
#[cfg(any(feature = "client", feature = "resource"))]
pub mod files;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "resource")]
pub mod resource;

#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod server;
