//! What holds for every input, tried on many.

mod allowlist;
mod forwarding;
mod hops;
mod limits;
mod oauth;
mod scope;
mod secret;

use proptest::test_runner::Config;

/// So many cases a property, and no file of past failures: a case worth keeping becomes a row of a table.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}
