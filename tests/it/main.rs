//! The one integration binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, reason = "tests")]
#![allow(clippy::allow_attributes, reason = "an expectation per lint would fail wherever a test does without it")]

mod jose_cross;
mod process;
mod properties;
mod vectors;
