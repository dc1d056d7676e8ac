//! What an import will do, and doing it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{Api, BulkStatus, NewApi, ScopeDefinition};
use crate::cli::admin::{Admin, segment};
use crate::cli::bulk::{BATCH, Importer, Row, foresee};
use crate::cli::{Failure, Global, output};
use crate::scope::BUILT_IN_PREFIX;

use super::read::{Found, Wanted, What, is_uri};

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Fate {
    Create,
    Exists,
    Skip,
    Fail,
}

/// A client of the export, and what becomes of it.
#[derive(Serialize)]
struct Planned {
    client_id: String,
    plan: Fate,
    #[serde(skip_serializing_if = "str::is_empty")]
    secret: &'static str,
    scopes: Vec<String>,
    why: String,
    #[serde(skip)]
    row: Option<Row>,
}

/// An API that gets scopes.
#[derive(Serialize)]
struct PlannedApi {
    identifier: String,
    /// Whether it is there already.
    exists: bool,
    scopes: BTreeSet<String>,
    /// What it defines already.
    #[serde(skip)]
    before: Vec<ScopeDefinition>,
}

/// What will be done.
#[derive(Serialize)]
pub(super) struct Plan {
    apis: Vec<PlannedApi>,
    clients: Vec<Planned>,
}

/// The APIs that are there, and who defines what.
struct Known {
    apis: BTreeMap<String, Api>,
    owners: HashMap<String, String>,
}

/// Where a scope is to be defined.
fn home<'a>(scope: &'a Option<String>, wanted: &'a Wanted, default: Option<&'a str>) -> Option<&'a str> {
    let only = match wanted.audiences.as_slice() {
        [one] if is_uri(one) => Some(one.as_str()),
        _ => None,
    };
    scope.as_deref().or(only).or(default)
}

impl Known {
    async fn ask(admin: &Admin) -> Result<Self, Failure> {
        let apis: Vec<Api> = admin.list("apis").await?;
        let mut owners = HashMap::new();
        for api in &apis {
            owners.extend(api.scopes.iter().map(|scope| (scope.name.clone(), api.identifier.clone())));
        }
        Ok(Self { apis: apis.into_iter().map(|api| (api.identifier.clone(), api)).collect(), owners })
    }

    /// Why the scopes of a client cannot all be granted to it; or where those are to be defined that are not.
    fn homes(&self, wanted: &Wanted, default: Option<&str>) -> Result<BTreeMap<String, String>, String> {
        let mut homes = BTreeMap::new();
        for (scope, audience) in &wanted.scopes {
            if scope.starts_with(BUILT_IN_PREFIX) {
                return Err(format!(
                    "{scope}: scopes that begin with {BUILT_IN_PREFIX} are never imported; take it out, and grant it by hand if it is meant"
                ));
            }
            if self.owners.contains_key(scope) {
                continue;
            }
            let Some(home) = home(audience, wanted, default) else {
                return Err(format!(
                    "{scope}: no API defines it, and the client has {} that would tell which is to: \
                     name the API with --api IDENTIFIER, or define it first with `mintage api create`",
                    match wanted.audiences.len() {
                        0 => "no audience".to_owned(),
                        1 => "an audience that is no URI, and none".to_owned(),
                        several => format!("{several} audiences, and none"),
                    }
                ));
            };
            homes.insert(scope.clone(), home.to_owned());
        }
        Ok(homes)
    }
}

impl Plan {
    pub(super) async fn make(admin: &Admin, found: Vec<Found>, default: Option<&str>) -> Result<Self, Failure> {
        if let Some(identifier) = default.filter(|identifier| !is_uri(identifier)) {
            return Err(Failure::usage(format!(
                "--api {identifier}: an API is called by a URI, such as https://orders.example"
            )));
        }
        let known = Known::ask(admin).await?;
        let mut claims: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut homes_of = Vec::with_capacity(found.len());
        for one in &found {
            let homes = match &one.what {
                What::Wanted(wanted) => known.homes(wanted, default),
                _ => Ok(BTreeMap::new()),
            };
            for (scope, home) in homes.iter().flatten() {
                claims.entry(scope.clone()).or_default().insert(home.clone());
            }
            homes_of.push(homes);
        }
        let mut clients = Vec::with_capacity(found.len());
        let mut probes = Vec::new();
        for (index, (one, homes)) in found.into_iter().zip(homes_of).enumerate() {
            let planned = planned(one, homes, &claims);
            if let Some(row) = &planned.row {
                let mut item = row.item.clone();
                // Those that are to be defined cannot be granted yet.
                let there = planned.scopes.iter().filter(|scope| known.owners.contains_key(*scope));
                item.insert("scopes".to_owned(), there.map(|scope| Value::from(scope.as_str())).collect());
                probes.push(Row { label: index.to_string(), item });
            }
            clients.push(planned);
        }
        let foreseen = foresee(admin, probes).await?;
        for (index, client) in clients.iter_mut().enumerate() {
            let Some(result) = foreseen.get(&index.to_string()) else { continue };
            match result.status {
                BulkStatus::Created => continue,
                BulkStatus::Exists => client.plan = Fate::Exists,
                BulkStatus::Failed => {
                    client.plan = Fate::Fail;
                    let words = result.errors.iter().map(|error| format!("{}: {}", error.field, error.detail));
                    client.why = words.collect::<Vec<_>>().join("; ");
                }
            }
            client.row = None;
        }
        Ok(Self { apis: apis(&clients, &claims, &known), clients })
    }

    pub(super) fn has_failures(&self) -> bool {
        self.clients.iter().any(|client| client.plan == Fate::Fail)
    }

    fn count(&self, fate: Fate) -> usize {
        self.clients.iter().filter(|client| client.plan == fate).count()
    }

    pub(super) fn show(&self, global: &Global, dry_run: bool) -> Result<(), Failure> {
        if global.json {
            // Of two documents a program would not know which is which.
            return if dry_run { output::json(self) } else { Ok(()) };
        }
        if !self.apis.is_empty() {
            let row = |api: &PlannedApi| {
                let what = if api.exists { "add to" } else { "create" };
                [api.identifier.clone(), what.to_owned(), api.scopes.iter().cloned().collect::<Vec<_>>().join(" ")]
            };
            let rows: Vec<_> = self.apis.iter().map(row).collect();
            output::line(&output::table(["API", "PLAN", "SCOPES"], &rows))?;
        }
        let rows: Vec<_> = self.clients.iter().map(Planned::cells).collect();
        output::print(&output::table(["CLIENT_ID", "PLAN", "SECRET", "SCOPES; NOTES"], &rows))?;
        output::line(&format!(
            "\n{} to create, {} there already, {} skipped, {} that cannot be imported",
            self.count(Fate::Create),
            self.count(Fate::Exists),
            self.count(Fate::Skip),
            self.count(Fate::Fail)
        ))
    }

    /// Defines the scopes, then registers the clients.
    pub(super) async fn carry_out(self, global: &Global, admin: &Admin) -> Result<ExitCode, Failure> {
        let failed = self.has_failures();
        for api in &self.apis {
            define(admin, api).await?;
        }
        let rows: Vec<Row> = self.clients.iter().filter_map(|client| client.row.clone()).collect();
        let mut importer = Importer::new(admin, false, None, u64::try_from(rows.len()).unwrap_or_default());
        for batch in rows.chunks(BATCH) {
            importer.send(batch.to_vec()).await?;
            importer.advance(batch.len());
        }
        let outcome = importer.finish();
        if global.json {
            let plan = json!(self);
            output::json(&json!({ "plan": plan, "outcome": outcome }))?;
        } else {
            output::line(&outcome.summary(false))?;
        }
        Ok(if failed || outcome.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Planned {
    fn cells(&self) -> [String; 4] {
        let plan = match self.plan {
            Fate::Create => "create",
            Fate::Exists => "exists",
            Fate::Skip => "skip",
            Fate::Fail => "fail",
        };
        let mut last = self.scopes.join(" ");
        if !self.why.is_empty() {
            last = if last.is_empty() { self.why.clone() } else { format!("{last}; {}", self.why) };
        }
        [self.client_id.clone(), plan.to_owned(), output::or_dash(self.secret.to_owned()), output::or_dash(last)]
    }
}

fn planned(
    found: Found,
    homes: Result<BTreeMap<String, String>, String>,
    claims: &BTreeMap<String, BTreeSet<String>>,
) -> Planned {
    let without =
        |plan, why| Planned { client_id: found.name.clone(), plan, secret: "", scopes: Vec::new(), why, row: None };
    let wanted = match found.what {
        What::Skipped(why) => return without(Fate::Skip, why),
        What::Refused(why) => return without(Fate::Fail, why),
        What::Wanted(wanted) => wanted,
    };
    let homes = match homes {
        Ok(homes) => homes,
        Err(why) => return without(Fate::Fail, why),
    };
    let claimed_twice = homes.keys().find_map(|scope| Some((scope, claims.get(scope)?)).filter(|(_, of)| of.len() > 1));
    if let Some((scope, of)) = claimed_twice {
        let of: Vec<_> = of.iter().map(String::as_str).collect();
        let why = format!(
            "{scope}: clients have it for {}, and a scope belongs to one API; define it for one of them first, with \
             `mintage api create`, or rename it",
            of.join(" and ")
        );
        return without(Fate::Fail, why);
    }
    let scopes: Vec<_> = wanted.scopes.into_keys().collect();
    let mut item = wanted.item;
    item.insert("scopes".to_owned(), json!(scopes));
    let row = Row { label: found.name.clone(), item };
    Planned {
        client_id: found.name,
        plan: Fate::Create,
        secret: wanted.secret,
        scopes,
        why: wanted.notes.join("; "),
        row: Some(row),
    }
}

/// The APIs that clients to be created need scopes of.
fn apis(clients: &[Planned], claims: &BTreeMap<String, BTreeSet<String>>, known: &Known) -> Vec<PlannedApi> {
    let mut needed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for scope in clients.iter().filter(|client| client.row.is_some()).flat_map(|client| &client.scopes) {
        // One that is defined already is nobody's claim.
        if let Some(home) = claims.get(scope).and_then(BTreeSet::first) {
            needed.entry(home).or_default().insert(scope.clone());
        }
    }
    let planned = |(identifier, scopes): (&str, BTreeSet<String>)| PlannedApi {
        identifier: identifier.to_owned(),
        exists: known.apis.contains_key(identifier),
        scopes,
        before: known.apis.get(identifier).map(|api| api.scopes.clone()).unwrap_or_default(),
    };
    needed.into_iter().map(planned).collect()
}

/// Defines the scopes of an API: of a new one, or besides those that it has.
async fn define(admin: &Admin, api: &PlannedApi) -> Result<(), Failure> {
    let new = api.scopes.iter().map(|name| ScopeDefinition { name: name.clone(), description: String::new() });
    let about = |failure: Failure| Failure { why: format!("the API {}: {failure}", api.identifier), ..failure };
    if api.exists {
        // The list is sent whole.
        let scopes: Vec<_> = api.before.iter().cloned().chain(new).collect();
        let path = format!("apis/{}", segment(&api.identifier));
        admin.patch::<Api>(&path, &json!({ "scopes": scopes })).await.map_err(about)?;
    } else {
        let new = NewApi { identifier: api.identifier.clone(), scopes: new.collect(), ..NewApi::default() };
        admin.post::<Api>("apis", &new).await.map_err(about)?;
    }
    Ok(())
}
