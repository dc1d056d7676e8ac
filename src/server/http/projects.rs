//! `GET /api/v1/projects`.

use axum::Json;
use axum::extract::State;

use crate::api;
use crate::resource::AccessToken;
use crate::scope::Scope;
use crate::server::error::Error;

use super::extract::Page;
use super::render::Fault;
use super::{App, PROJECTS_READ};

pub(super) async fn list(
    State(app): State<App>,
    token: AccessToken,
    Page(page): Page,
) -> Result<Json<api::Page<api::Project>>, Fault> {
    let fault = |error| Fault::new(&app, error);
    let scope =
        Scope::parse(PROJECTS_READ).map_err(|_| fault(Error::Internal("a scope of ours is none".to_owned())))?;
    let client = app.service.client_holding(&token, &scope).await.map_err(fault)?;
    app.service.projects(&client, &page).await.map(Json).map_err(fault)
}
