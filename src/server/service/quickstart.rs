//! The client of the first start.

use crate::api;
use crate::secret::{ClientSecret, Environment};
use crate::server::error::Error;
use crate::server::model::Origin;

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
    /// Registers the client of the first start, if this is the first. One that an earlier try made and nobody was shown
    /// is replaced.
    ///
    /// # Errors
    /// What the store says.
    pub async fn create_quickstart(&self) -> Result<Option<Quickstart>, Error> {
        if self.store.first_start_is_over().await? {
            return Ok(None);
        }
        let caller = Caller::everything(Origin::SYSTEM);
        match self.delete_client(QUICKSTART_ID, &caller).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let new = api::NewClient {
            name: "Quickstart".to_owned(),
            client_id: Some(QUICKSTART_ID.to_owned()),
            environment: Environment::Test,
            scopes: vec!["mintage:projects:read".to_owned()],
            secret_ttl: Some(SECRET_TTL),
            description: "Made on the first start, to try things out with; delete it at will".to_owned(),
            ..api::NewClient::default()
        };
        let (client, secret) = self.new_client(new, &caller)?;
        self.add_client(client, Some(&secret), &caller).await?;
        Ok(Some(Quickstart { secret }))
    }

    /// Ends the first start: what it shows once has been shown.
    ///
    /// # Errors
    /// What the store says.
    pub async fn end_first_start(&self) -> Result<(), Error> {
        if !self.store.first_start_is_over().await? {
            self.store.end_first_start().await?;
        }
        Ok(())
    }
}
