//! The one domain error: what the decisions in `service/` refuse with, free of HTTP.
//!
//! Our own text and the caller's are kept apart: what a variant carries from outside is shown as data, and never the
//! other way round. `http/render/` turns each variant into an answer, on every surface, without a wildcard.

use crate::api::Level;
use crate::id::ClientId;
use crate::limit::{Exceeded, InsufficientBalance, QuotaExceeded};
use crate::reason::Reason;
use crate::scope::Scope;
use crate::source_ip::SourceAddress;

use super::keys::KeyRingError;
use super::store::StoreError;

/// Why a client could not be authenticated. For the operator alone: the caller gets one and the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthFailure {
    /// What really happened.
    pub cause: AuthCause,
    /// The client, where there is one of that id. What was sent as an id and is none is kept nowhere: people paste
    /// secrets there.
    pub client_id: Option<ClientId>,
}

impl AuthFailure {
    /// Nothing to authenticate with.
    pub const NO_CREDENTIALS: Self = Self { cause: AuthCause::NoCredentials, client_id: None };
    /// No client of that id.
    pub const UNKNOWN_CLIENT: Self = Self { cause: AuthCause::UnknownClient, client_id: None };
}

/// What really happened when a client could not be authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthCause {
    /// No credentials, or of a scheme that is not taken.
    NoCredentials,
    /// No client of that id.
    UnknownClient,
    /// None of its secrets.
    WrongSecret,
    /// One of its secrets, which has ended.
    ExpiredSecret,
    /// The right secret of a client that is disabled.
    DisabledClient,
    /// No API key of that text.
    UnknownKey,
}

impl AuthCause {
    /// Its word in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::UnknownClient => "unknown_client",
            Self::WrongSecret => "wrong_secret",
            Self::ExpiredSecret => "expired_secret",
            Self::DisabledClient => "disabled_client",
            Self::UnknownKey => "unknown_api_key",
        }
    }
}

/// A member of a body that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The member.
    pub field: String,
    /// What is wrong with it, and what would do.
    pub detail: String,
}

impl FieldError {
    /// An error of this member.
    pub fn new(field: impl Into<String>, detail: impl ToString) -> Self {
        Self { field: field.into(), detail: detail.to_string() }
    }
}

/// What a decision can refuse with.
#[derive(Clone, Debug)]
pub enum Error {
    /// The request cannot be read.
    Malformed(String),
    /// The client could not be authenticated.
    Unauthenticated(AuthFailure),
    /// Another grant type.
    UnsupportedGrantType,
    /// A scope that is not one, or that was not granted.
    InvalidScope(String),
    /// A resource that is not one, or of which the client holds nothing.
    InvalidTarget(String),
    /// A good credential from an address off its allowlist.
    AddressNotAllowed(SourceAddress),
    /// A limit on requests was reached.
    RateLimited(Exceeded),
    /// What was granted is used up.
    QuotaExceeded(Box<QuotaExceeded>),
    /// The balance does not cover it.
    InsufficientBalance(InsufficientBalance),
    /// What a project or an organization demands of its credentials is not met.
    PolicyViolated {
        /// The policy, by the name that it is set by.
        policy: &'static str,
        /// What it demands, and what would do.
        detail: String,
    },
    /// The token that was to be exchanged is not good. The caller is not told why.
    BadSubjectToken(AuthFailure),
    /// The token of somebody else, or out of reach.
    NotTheirToken,
    /// As many tokens of this client are revoked one by one as can be.
    TooManyRevoked {
        /// The client.
        client_id: String,
        /// How many can be.
        most: usize,
    },
    /// The caller holds less than it would grant or change.
    BeyondCaller {
        /// What it would do.
        what: String,
        /// What it would have to hold for that.
        lacking: Vec<(Scope, Level)>,
    },
    /// What is there is not what the change was made from (`If-Match`).
    Stale,
    /// The `Idempotency-Key` was used for another request.
    KeyReused,
    /// What the token says is no longer so: its client has lost the scope since.
    ScopeLost(Scope),
    /// Members that cannot be accepted.
    InvalidFields(Vec<FieldError>),
    /// There is no such thing.
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// What it was called.
        name: String,
    },
    /// It is there already, or its state does not allow this.
    Conflict(String),
    /// Another method than the route has.
    MethodNotAllowed,
    /// A body that is too large.
    BodyTooLarge {
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// A head that is larger than what is read of one.
    HeadTooLarge,
    /// A body that took too long.
    Timeout,
    /// The store does not answer, or there is no key to sign with. The cause is for the logs alone.
    Unavailable(String),
    /// Our own fault. The cause is for the logs alone.
    Internal(String),
}

impl Error {
    /// Its stable word.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::MalformedRequest,
            Self::Unauthenticated(_) => Reason::InvalidClient,
            Self::UnsupportedGrantType => Reason::UnsupportedGrantType,
            Self::InvalidScope(_) => Reason::InvalidScope,
            Self::InvalidTarget(_) => Reason::InvalidTarget,
            Self::AddressNotAllowed(_) => Reason::IpNotAllowed,
            Self::RateLimited(_) => Reason::RateLimited,
            Self::QuotaExceeded(_) => Reason::QuotaExceeded,
            Self::InsufficientBalance(_) => Reason::InsufficientBalance,
            Self::PolicyViolated { .. } => Reason::PolicyViolated,
            Self::BadSubjectToken(_) => Reason::InvalidSubjectToken,
            Self::NotTheirToken => Reason::UnauthorizedClient,
            Self::TooManyRevoked { .. } => Reason::TooManyRevoked,
            Self::ScopeLost(_) => Reason::InsufficientScope,
            Self::BeyondCaller { .. } => Reason::BeyondCaller,
            Self::Stale => Reason::PreconditionFailed,
            Self::KeyReused => Reason::IdempotencyKeyReused,
            Self::InvalidFields(_) => Reason::InvalidField,
            Self::NotFound { .. } => Reason::NotFound,
            Self::Conflict(_) => Reason::Conflict,
            Self::MethodNotAllowed => Reason::MethodNotAllowed,
            Self::BodyTooLarge { .. } => Reason::BodyTooLarge,
            Self::HeadTooLarge => Reason::HeadTooLarge,
            Self::Timeout => Reason::RequestTimeout,
            Self::Unavailable(_) => Reason::Unavailable,
            Self::Internal(_) => Reason::InternalError,
        }
    }

    /// What happened, and what to do.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Malformed(detail)
            | Self::InvalidScope(detail)
            | Self::InvalidTarget(detail)
            | Self::Conflict(detail) => detail.clone(),
            Self::RateLimited(exceeded) => exceeded.detail(),
            Self::QuotaExceeded(exceeded) => exceeded.detail(),
            Self::InsufficientBalance(short) => short.detail(),
            Self::PolicyViolated { policy, detail } => format!("the policy {policy} of the project or its organization: {detail}"),
            Self::Unauthenticated(_) => {
                "client authentication failed; the operator finds why in the log, under the request_id".to_owned()
            }
            Self::BadSubjectToken(_) => {
                "the subject_token is not an API key that is good; the operator finds why in the log, under the request_id"
                    .to_owned()
            }
            Self::UnsupportedGrantType => "grant_type has to be client_credentials; or, to exchange an API key for a token, \
                 urn:ietf:params:oauth:grant-type:token-exchange"
                .to_owned(),
            Self::AddressNotAllowed(source) => format!(
                "the credential itself is good, but the request came from {} (by {}), which is not in the client's allowlist",
                source.ip, source.from
            ),
            Self::NotTheirToken => "the token is another client's, and it is not within what this one may revoke: \
                 that takes mintage:tokens:revoke and the token's project"
                .to_owned(),
            Self::TooManyRevoked { client_id, most } => format!(
                "{most} live tokens of the client {client_id} are revoked already, and no more can be one by one; \
                 this one was not: revoke the client"
            ),
            Self::BeyondCaller { what, lacking } => {
                let lacking: Vec<_> =
                    lacking.iter().map(|(scope, level)| format!("{scope} ({} level)", level.as_str())).collect();
                format!("{what} takes what this caller does not hold: {}", lacking.join(", "))
            }
            Self::Stale => {
                "it was changed since the state that If-Match names; look at it, and decide again".to_owned()
            }
            Self::KeyReused => {
                "this Idempotency-Key was used for another body within the last 24 hours; take a new one".to_owned()
            }
            Self::ScopeLost(scope) => format!("the client no longer holds the scope {scope}"),
            Self::InvalidFields(errors) => {
                errors.iter().map(|e| format!("{}: {}", e.field, e.detail)).collect::<Vec<_>>().join("; ")
            }
            Self::NotFound { what, name } => format!("there is no {what} {name}"),
            Self::MethodNotAllowed => "this route has other methods: see the Allow header".to_owned(),
            Self::BodyTooLarge { limit } => format!("the body may have at most {limit} bytes"),
            Self::HeadTooLarge => "the request's line and header fields may have 65536 bytes altogether, and there may be 100 fields".to_owned(),
            Self::Timeout => "the body did not arrive in time".to_owned(),
            Self::Unavailable(_) => "the service cannot answer for the moment; try again".to_owned(),
            Self::Internal(_) => {
                "the service failed; its operator finds more in the log, under the request_id".to_owned()
            }
        }
    }

    /// What is behind a failure of the service: for the logs, never for a caller.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        match self {
            Self::Unavailable(cause) | Self::Internal(cause) => Some(cause),
            Self::Unauthenticated(failure) | Self::BadSubjectToken(failure) => Some(failure.cause.as_str()),
            _ => None,
        }
    }

    /// An error of one member.
    pub fn field(field: &str, detail: impl ToString) -> Self {
        Self::InvalidFields(vec![FieldError::new(field, detail)])
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StoreError::Corrupt(_) => Self::Internal(error.to_string()),
            StoreError::Conflict => Self::Conflict("it was changed by somebody else meanwhile; try again".to_owned()),
        }
    }
}

impl From<KeyRingError> for Error {
    fn from(error: KeyRingError) -> Self {
        match error {
            KeyRingError::Store(error) => error.into(),
            KeyRingError::Unknown(name) => {
                Self::NotFound { what: "key in use", name: format!("{name}; `mintage key list` has them") }
            }
            KeyRingError::NoNext => Self::Conflict(error.to_string()),
            KeyRingError::File(error) => Self::Unavailable(error.to_string()),
            KeyRingError::Seal(error) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::RateLimited(exceeded)
    }
}

impl From<crate::crypto::entropy::NoEntropy> for Error {
    fn from(error: crate::crypto::entropy::NoEntropy) -> Self {
        Self::Unavailable(error.to_string())
    }
}
