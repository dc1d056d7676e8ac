//! `GET /api/v1/whoami`: what a token says of its bearer, and where the request came from.

use axum::Extension;
use axum::extract::State;

use crate::api::WhoAmI;
use crate::resource::AccessToken;
use crate::source_ip::SourceAddress;

use super::App;

/// What a token says of its bearer, and where the request came from
///
/// Any good token for the issuer's audience will do.
#[utoipa::path(
    get, path = "/api/v1/whoami",
    security(("bearer" = [])),
    responses((status = 200, description = "What it says", body = WhoAmI)),
)]
pub(super) async fn show(
    State(app): State<App>,
    token: AccessToken,
    Extension(source): Extension<SourceAddress>,
) -> axum::Json<WhoAmI> {
    axum::Json(WhoAmI {
        claims: token.claims().all.clone(),
        source_address: source.ip.to_string(),
        source_address_from: source.from.to_string(),
        expires_in: token.expires_at().since(app.service.clock().now()).as_secs(),
    })
}
