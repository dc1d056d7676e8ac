//! The service: tokens issued, clients registered, its own routes guarded.
//!
//! Responsible for: putting the rooms below together and running them. A request walks down through them once: `http`
//! reads and renders, `service` decides, `store` and `keys` keep.

pub mod config;
pub mod error;
pub mod guards;
pub mod http;
pub mod keys;
pub mod model;
pub mod service;
pub mod store;

mod start;
mod telemetry;
mod webhook;

pub use start::{Parts, Running, Server, StartError};
pub use telemetry::init as init_telemetry;
