//! The client of the first start.

use crate::api;
use crate::secret::{ClientSecret, Environment};
use crate::server::error::Error;
use crate::server::model::Actor;

use super::{Caller, Service};

/// Its id.
pub const QUICKSTART_ID: &str = "quickstart";
/// How long its secret lives, in seconds.
const SECRET_TTL: u64 = 24 * 3600;

/// The client of the first start and its secret, to be printed once.
#[derive(Debug)]
pub struct Quickstart {
    /// Its secret.
    pub secret: ClientSecret,
}

impl Service {
    /// Registers the client of the first start.
    ///
    /// # Errors
    /// What the store says.
    pub async fn create_quickstart(&self) -> Result<Quickstart, Error> {
        let (client, secret) = self.new_client(api::NewClient {
            name: "Quickstart".to_owned(),
            client_id: Some(QUICKSTART_ID.to_owned()),
            environment: Environment::Test,
            scopes: vec!["mintage:projects:read".to_owned()],
            secret_ttl: Some(SECRET_TTL),
            description: "Made on the first start, to try things out with; delete it at will".to_owned(),
            ..api::NewClient::default()
        })?;
        let caller = Caller { actor: Actor::System, request_id: self.request_id() };
        self.add_client(client, &secret, &caller).await?;
        Ok(Quickstart { secret })
    }
}
