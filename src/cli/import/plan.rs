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

/// The APIs that clients have each scope for, as far as the export tells.
type Claims = BTreeMap<String, BTreeSet<String>>;

/// The API that an export puts a scope under: that of the scope itself, or of the client's one audience.
fn claim<'a>(audience: &'a Option<String>, wanted: &'a Wanted) -> Option<&'a str> {
    let only = match wanted.audiences.as_slice() {
        [one] if is_uri(one) => Some(one.as_str()),
        _ => None,
    };
    audience.as_deref().or(only)
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

    /// The claims on scopes that no API defines yet.
    fn claims(&self, found: &[Found]) -> Claims {
        let mut claims = Claims::new();
        for one in found {
            let What::Wanted(wanted) = &one.what else { continue };
            for (scope, audience) in wanted.scopes.iter().filter(|(scope, _)| !self.owners.contains_key(*scope)) {
                if let Some(home) = claim(audience, wanted) {
                    claims.entry(scope.clone()).or_default().insert(home.to_owned());
                }
            }
        }
        claims
    }

    /// The API that each scope of a client is to be defined under that no API defines yet; or why there is none.
    fn homes(
        &self,
        wanted: &Wanted,
        claims: &Claims,
        default: Option<&str>,
    ) -> Result<BTreeMap<String, String>, String> {
        let mut homes = BTreeMap::new();
        for scope in wanted.scopes.keys() {
            if scope.starts_with(BUILT_IN_PREFIX) {
                return Err(format!(
                    "{scope}: scopes that begin with {BUILT_IN_PREFIX} are never imported; take it out, and grant it by \
                     hand if it is meant"
                ));
            }
            if self.owners.contains_key(scope) {
                continue;
            }
            let claimed: Vec<_> = claims.get(scope).into_iter().flatten().map(String::as_str).collect();
            let home = match claimed.as_slice() {
                [] => default.ok_or_else(|| homeless(scope, wanted))?,
                [one] => one,
                several => {
                    return Err(format!(
                        "{scope}: clients have it for {}, and a scope belongs to one API; define it for one of them \
                         first, with `mintage api create`, or rename it",
                        several.join(" and ")
                    ));
                }
            };
            homes.insert(scope.clone(), home.to_owned());
        }
        Ok(homes)
    }
}

fn homeless(scope: &str, wanted: &Wanted) -> String {
    let has = match wanted.audiences.len() {
        0 => "no audience".to_owned(),
        1 => "one that is no URI".to_owned(),
        several => format!("{several} audiences"),
    };
    format!(
        "{scope}: no API defines it, and the client has {has}, where one URI would tell which is to: name the API with \
         --api IDENTIFIER, or define it first with `mintage api create`"
    )
}

impl Plan {
    pub(super) async fn make(admin: &Admin, found: Vec<Found>, default: Option<&str>) -> Result<Self, Failure> {
        if let Some(identifier) = default.filter(|identifier| !is_uri(identifier)) {
            return Err(Failure::usage(format!(
                "--api {identifier}: an API is called by a URI, such as https://orders.example"
            )));
        }
        let known = Known::ask(admin).await?;
        let claims = known.claims(&found);
        let mut clients = Vec::with_capacity(found.len());
        let mut probes = Vec::new();
        // Where each scope goes that has to be defined: the same for all clients, or they would not be planned.
        let mut homes = BTreeMap::new();
        for (index, one) in found.into_iter().enumerate() {
            let planned = match one.what {
                What::Skipped(why) => Planned::left_out(one.name, Fate::Skip, why),
                What::Refused(why) => Planned::left_out(one.name, Fate::Fail, why),
                What::Wanted(wanted) => match known.homes(&wanted, &claims, default) {
                    Err(why) => Planned::left_out(one.name, Fate::Fail, why),
                    Ok(own) => {
                        homes.extend(own);
                        Planned::wanted(one.name, wanted)
                    }
                },
            };
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
        Ok(Self { apis: apis(&clients, &homes, &known), clients })
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
        for api in &self.apis {
            define(admin, api).await?;
        }
        let rows: Vec<Row> = self.clients.iter().filter_map(|client| client.row.clone()).collect();
        let mut importer = Importer::new(admin, false, None, u64::try_from(rows.len()).unwrap_or_default());
        for batch in rows.chunks(BATCH) {
            importer.send(batch.to_vec()).await?;
            importer.advance(batch.len());
        }
        let mut outcome = importer.finish();
        // What was not sent is part of what became of the export.
        outcome.exists += self.count(Fate::Exists);
        outcome.failed += self.count(Fate::Fail);
        if global.json {
            let plan = json!(self);
            output::json(&json!({ "plan": plan, "outcome": outcome }))?;
        } else {
            output::line(&format!("{}, {} skipped", outcome.summary(false), self.count(Fate::Skip)))?;
        }
        Ok(if outcome.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Planned {
    fn left_out(client_id: String, plan: Fate, why: String) -> Self {
        Self { client_id, plan, secret: "", scopes: Vec::new(), why, row: None }
    }

    fn wanted(client_id: String, wanted: Wanted) -> Self {
        let scopes: Vec<_> = wanted.scopes.into_keys().collect();
        let mut item = wanted.item;
        item.insert("scopes".to_owned(), json!(scopes));
        let row = Some(Row { label: client_id.clone(), item });
        Self { client_id, plan: Fate::Create, secret: wanted.secret, scopes, why: wanted.notes.join("; "), row }
    }

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

/// The APIs that clients to be created need scopes of.
fn apis(clients: &[Planned], homes: &BTreeMap<String, String>, known: &Known) -> Vec<PlannedApi> {
    let mut needed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for scope in clients.iter().filter(|client| client.row.is_some()).flat_map(|client| &client.scopes) {
        // One that is defined already has none.
        if let Some(home) = homes.get(scope) {
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
