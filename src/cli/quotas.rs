//! What clients and projects have in common: their quotas, what is used of them, and their balances.

use serde_json::{Value, json};

use crate::api;
use crate::api::{BalanceChange, PeriodQuotasPatch, PeriodUses, QuotaUse, QuotaUses, Quotas, QuotasPatch};

use super::admin::Admin;
use super::{Failure, Global, output};

/// A quota, as it is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    measure: Measure,
    period: Period,
    units: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Tokens,
    Requests,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Day,
    Month,
    Total,
}

/// `tokens.day=1000`, or `=none`.
pub(super) fn quota(text: &str) -> Result<Quota, &'static str> {
    const FORM: &str =
        "it has to be such as tokens.day=1000 or requests.month=none: tokens or requests, and day, month or total";
    let (name, units) = text.split_once('=').ok_or(FORM)?;
    let (measure, period) = name.split_once('.').ok_or(FORM)?;
    let measure = match measure {
        "tokens" => Measure::Tokens,
        "requests" => Measure::Requests,
        _ => return Err(FORM),
    };
    let period = match period {
        "day" => Period::Day,
        "month" => Period::Month,
        "total" => Period::Total,
        _ => return Err(FORM),
    };
    let units = match units {
        "none" => None,
        units => Some(units.parse().map_err(|_| "how many it is has to be a whole number, or none")?),
    };
    Ok(Quota { measure, period, units })
}

impl Quota {
    /// Its path below `quotas`, and what it is to be in JSON.
    pub(super) fn member(self) -> (String, Value) {
        let measure = match self.measure {
            Measure::Tokens => "tokens",
            Measure::Requests => "requests",
        };
        let period = match self.period {
            Period::Day => "day",
            Period::Month => "month",
            Period::Total => "total",
        };
        (format!("{measure}.{period}"), json!(self.units))
    }
}

/// The merge patch that makes these quotas; none where there are none.
pub(super) fn patch(quotas: &[Quota]) -> Option<Option<QuotasPatch>> {
    let of = |measure: Measure| {
        let mut patch = PeriodQuotasPatch::default();
        for quota in quotas.iter().filter(|quota| quota.measure == measure) {
            let place = match quota.period {
                Period::Day => &mut patch.day,
                Period::Month => &mut patch.month,
                Period::Total => &mut patch.total,
            };
            *place = Some(quota.units);
        }
        (patch != PeriodQuotasPatch::default()).then_some(Some(patch))
    };
    let patch = QuotasPatch { tokens: of(Measure::Tokens), requests: of(Measure::Requests) };
    (!quotas.is_empty()).then_some(Some(patch))
}

/// These quotas, and no others.
pub(super) fn of(quotas: &[Quota]) -> Quotas {
    Quotas::default().patched(&patch(quotas).unwrap_or_default())
}

/// The lines of `show`, where there are any.
pub(super) fn fields(quotas: &Quotas) -> Option<(&'static str, String)> {
    let mut all = Vec::new();
    for (measure, of) in [("tokens", quotas.tokens), ("requests", quotas.requests)] {
        for (period, quota) in [("day", of.day), ("month", of.month), ("total", of.total)] {
            all.extend(quota.map(|quota| format!("{measure}.{period}={quota}")));
        }
    }
    (!all.is_empty()).then(|| ("quotas", all.join(" ")))
}

/// What is used of the quotas at `path`.
pub(super) async fn show(global: &Global, admin: &Admin, path: &str) -> Result<(), Failure> {
    let uses: QuotaUses = admin.get(path).await?;
    if global.json {
        return output::json(&uses);
    }
    let row = |measure: &str, period: &str, one: &QuotaUse| {
        let count = |count: Option<u64>| output::or_dash(count.map(|count| count.to_string()));
        let resets = output::or_dash(one.resets_at.map(|at| at.0.to_string()));
        [format!("{measure}.{period}"), count(one.quota), one.used.to_string(), count(one.remaining), resets]
    };
    let rows = |measure: &str, of: &PeriodUses| {
        [row(measure, "day", &of.day), row(measure, "month", &of.month), row(measure, "total", &of.total)]
    };
    let rows = [rows("tokens", &uses.tokens), rows("requests", &uses.requests)].concat();
    let table = output::table(["QUOTA", "UNITS", "USED", "LEFT", "BEGINS ANEW"], &rows);
    output::print(&format!("{table}\n{}", balance(uses.balance)))
}

fn balance(balance: Option<i64>) -> String {
    let balance = balance.map_or_else(|| "none is kept".to_owned(), |balance| balance.to_string());
    output::fields(&[("balance", balance)])
}

/// A change of a balance.
#[derive(Debug, clap::Args)]
pub(super) struct Adjustment {
    #[command(flatten)]
    change: Change,
    /// What for; it is kept in the audit log
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Change {
    /// Pay in, or take off where it is negative
    #[arg(long, value_name = "UNITS", allow_negative_numbers = true)]
    add: Option<i64>,
    /// Make it this
    #[arg(long, value_name = "UNITS", allow_negative_numbers = true)]
    set: Option<i64>,
    /// Keep none any more: requests are not paid for
    #[arg(long)]
    none: bool,
}

/// Changes the balance at `path`.
pub(super) async fn change_balance(
    global: &Global,
    admin: &Admin,
    path: &str,
    change: Adjustment,
) -> Result<(), Failure> {
    let Change { add, set, none } = change.change;
    let set = if none { Some(None) } else { set.map(Some) };
    let now: api::Balance = admin.post(path, &BalanceChange { add, set, note: change.note }).await?;
    if global.json { output::json(&now) } else { output::print(&balance(now.balance)) }
}
