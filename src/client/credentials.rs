//! A client's id and secret, and where they come from.

use std::path::Path;

use serde::Deserialize;

use crate::secret::ClientSecret;

use super::Error;

/// The environment variable of the id.
pub(super) const ID_VARIABLE: &str = "MINTAGE_CLIENT_ID";
/// The environment variable of the secret.
pub(super) const SECRET_VARIABLE: &str = "MINTAGE_CLIENT_SECRET";

/// A client's id and secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The id.
    pub client_id: String,
    /// The secret.
    pub client_secret: ClientSecret,
}

#[derive(Deserialize)]
struct File {
    client_id: String,
    client_secret: String,
}

impl Credentials {
    /// Those of `MINTAGE_CLIENT_ID` and `MINTAGE_CLIENT_SECRET`.
    ///
    /// # Errors
    /// [`Error::Credentials`] where one is missing.
    pub fn from_env() -> Result<Self, Error> {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (read(ID_VARIABLE), read(SECRET_VARIABLE)) {
            (Some(client_id), Some(secret)) => Ok(Self { client_id, client_secret: secret.into() }),
            _ => Err(Error::Credentials(format!(
                "no credentials: set {ID_VARIABLE} and {SECRET_VARIABLE}, or name a file that has them (--credentials)"
            ))),
        }
    }

    /// Those of a JSON file with `client_id` and `client_secret`, as `mintage client create --save` writes it and `--json` prints it.
    ///
    /// # Errors
    /// [`Error::Credentials`] where it cannot be read; never repeats what is in it.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let fail = |why: String| Error::Credentials(format!("the credentials file {}: {why}", path.display()));
        let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?);
        let file: File = serde_json::from_str(&text)
            .map_err(|_| fail("it is not a JSON object with client_id and client_secret".to_owned()))?;
        Ok(Self { client_id: file.client_id, client_secret: file.client_secret.into() })
    }
}
