//! Secrets that were not made here: in the clear, or as the hash that another system kept.

use crate::api;
use crate::api::GivenSecret;
use crate::crypto::SlowHash;
use crate::secret::ClientSecret;
use crate::server::error::{Error, FieldError};
use crate::server::model::{Client, KeptHash, SecretRecord};
use crate::server::service::slow::SlowChecks;

use super::{Caller, Service};

/// How long a given secret may be, in bytes. A shorter one would be guessed, hash or no hash.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=512;

/// A secret that was not made here, checked to be one that can be kept.
#[derive(Debug)]
pub(super) enum Given {
    /// One of ours, by its form and its checksum: as random as any that is made here.
    Random(ClientSecret),
    /// One that may be weak.
    Weak(ClientSecret),
    /// The hash of one.
    Hash(SlowHash),
}

/// What is kept of a secret that was not made here.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    prefix: String,
    hash: KeptHash,
}

/// A client that is to be registered, checked.
#[derive(Debug)]
pub(super) struct CheckedClient {
    /// It, with a secret that was made for it.
    pub(super) client: Client,
    /// That secret; none where one was given.
    pub(super) made: Option<ClientSecret>,
    /// What is to be kept in its place.
    pub(super) given: Option<Given>,
}

impl CheckedClient {
    /// Puts what is kept of a given secret in the place of the one that was made.
    pub(super) fn keep(&mut self, kept: Kept) {
        if let Some(record) = self.client.secrets.first_mut() {
            kept.put_into(record);
        }
    }
}

impl Kept {
    pub(super) fn put_into(self, record: &mut SecretRecord) {
        record.prefix = self.prefix;
        record.hash = self.hash;
    }
}

impl Given {
    /// The secret or the hash that was given, if one was. What is wrong goes into `errors`, and repeats neither.
    pub(super) fn read(
        secret: Option<&GivenSecret>,
        hash: Option<&GivenSecret>,
        errors: &mut Vec<FieldError>,
    ) -> Option<Self> {
        let checked = match (secret, hash) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                Err(FieldError::new("client_secret_hash", "send the secret or its hash, and not both"))
            }
            (Some(secret), None) => check_secret(secret).map_err(|why| FieldError::new("client_secret", why)),
            (None, Some(hash)) => SlowHash::parse(hash.reveal())
                .map(Self::Hash)
                .map_err(|error| FieldError::new("client_secret_hash", error)),
        };
        checked.map_err(|error| errors.push(error)).ok()
    }

    /// What is to be kept of it.
    pub(super) async fn keep(self, slow: &SlowChecks) -> Result<Kept, Error> {
        Ok(match self {
            Self::Random(secret) => Kept { prefix: secret.masked_prefix(), hash: secret.hash().into() },
            // Of a weak secret every character shown is one less to guess.
            Self::Weak(secret) => Kept { prefix: "…".to_owned(), hash: KeptHash::Slow(slow.make(&secret).await?) },
            Self::Hash(hash) => Kept { prefix: "…".to_owned(), hash: KeptHash::Slow(hash) },
        })
    }
}

fn check_secret(given: &GivenSecret) -> Result<Given, String> {
    let text = given.reveal();
    if !LENGTH.contains(&text.len()) {
        return Err(format!("a given secret has {} to {} bytes", LENGTH.start(), LENGTH.end()));
    }
    if text.chars().any(char::is_control) {
        return Err("a given secret has no control characters in it; is there a line end behind it?".to_owned());
    }
    let secret = ClientSecret::from(text.to_owned());
    Ok(if secret.is_well_formed() { Given::Random(secret) } else { Given::Weak(secret) })
}

impl Service {
    /// A client as it is asked for, checked, with what it is to authenticate with.
    pub(super) fn checked(&self, new: api::NewClient, caller: &Caller) -> Result<CheckedClient, Error> {
        let mut errors = Vec::new();
        let given = Given::read(new.client_secret.as_ref(), new.client_secret_hash.as_ref(), &mut errors);
        let (client, secret) = match self.new_client(new, caller) {
            Ok(made) if errors.is_empty() => made,
            Ok(_) => return Err(Error::InvalidFields(errors)),
            Err(Error::InvalidFields(mut others)) => {
                others.extend(errors);
                return Err(Error::InvalidFields(others));
            }
            Err(other) => return Err(other),
        };
        Ok(CheckedClient { client, made: given.is_none().then_some(secret), given })
    }

    /// What is to be kept of a given secret.
    pub(super) async fn kept(&self, given: Given) -> Result<Kept, Error> {
        given.keep(&self.slow).await
    }
}
