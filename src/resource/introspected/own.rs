//! The service's own id and secret.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use crate::clock::Deadline;
use crate::credentials::{BadCredentials, CredentialSource, Credentials, Current};

/// How often a file is looked at that may be replaced.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(10);

/// What this service proves itself with. A file may be replaced at any time.
#[derive(Debug)]
pub(super) struct Own {
    known: ArcSwapOption<Known>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Known {
    credentials: Credentials,
    look_again: Deadline,
}

impl Own {
    pub(super) fn new(source: CredentialSource) -> Self {
        Self { known: ArcSwapOption::empty(), current: Mutex::new(Current::of(source)) }
    }

    /// Those to ask with. While somebody reads the file, the others go on with what it had.
    pub(super) async fn get(&self) -> Result<Credentials, BadCredentials> {
        let known = self.known.load_full();
        let mut current = match (self.current.try_lock(), &known) {
            (_, Some(known)) if !known.look_again.remaining().is_zero() => return Ok(known.credentials.clone()),
            (Ok(current), _) => current,
            (Err(_), Some(known)) => return Ok(known.credentials.clone()),
            (Err(_), None) => self.current.lock().await,
        };
        self.read(&mut current).await
    }

    /// Newer ones, where the file has been replaced.
    pub(super) async fn newer(&self) -> Option<Credentials> {
        let mut current = self.current.lock().await;
        if current.have_changed().await { self.read(&mut current).await.ok() } else { None }
    }

    async fn read(&self, current: &mut Current) -> Result<Credentials, BadCredentials> {
        let credentials = current.get().await?;
        let look_again = Deadline::after(LOOKED_AT_EVERY);
        self.known.store(Some(Arc::new(Known { credentials: credentials.clone(), look_again })));
        Ok(credentials)
    }
}
