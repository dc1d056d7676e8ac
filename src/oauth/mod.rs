//! What travels on the OAuth wire: requests, responses, error codes, challenges, metadata.
//!
//! Responsible for: the RFCs' shapes and grammar, read and written. Never: whether anything is granted.

pub mod basic;
pub mod challenge;
pub mod digest;
pub mod feed;
pub mod form;
pub mod introspection;
pub mod metadata;
pub mod response;
