//! What a limit that was reached has to say besides words, in problems (RFC 9457 §3.2) and in errors of the token endpoint
//! alike.

use serde_json::{Value, json};

use super::{Exceeded, InsufficientBalance, QuotaExceeded, Whose};

/// A member of a refusal.
pub type Member = (&'static str, Value);

impl Exceeded {
    /// `limit`, `retry_after` in seconds, and on guarded routes `class`.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let mut members =
            vec![("limit", json!(self.standing.limit.as_str())), ("retry_after", json!(self.retry_after))];
        match self.whose {
            Whose::Credential(class) => members.push(("class", json!(class.as_str()))),
            Whose::Client | Whose::Address => {}
        }
        members
    }
}

impl QuotaExceeded {
    /// `quota`, `used`, `cost`, `period`, `counts`, `whose`, and `resets_at`, which is null where it never does.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        vec![
            ("quota", json!(self.quota)),
            ("used", json!(self.used)),
            ("cost", json!(self.cost)),
            ("period", json!(self.period.as_str())),
            ("counts", json!(self.what)),
            ("whose", json!(self.whose)),
            ("resets_at", json!(self.resets_at.map(|at| at.to_string()))),
        ]
    }
}

impl InsufficientBalance {
    /// `balance`, `cost` and `whose`.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        vec![("balance", json!(self.balance)), ("cost", json!(self.cost)), ("whose", json!(self.whose))]
    }
}
