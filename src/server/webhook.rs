//! Findings of a review on their way to a webhook, signed as Standard Webhooks has it
//! (<https://www.standardwebhooks.com>), and sent again until they have arrived.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::sync::watch;
use url::Url;

use crate::backoff::Backoff;
use crate::clock::Rfc3339;
use crate::crypto::HmacKey;
use crate::crypto::entropy::Entropy;
use crate::fetch::{FetchError, http_client, http_url};

use super::config::Config;
use super::error::Error;
use super::service::{Notice, Service};

/// How often one notice is tried before the next review finds the same again.
const TRIES: u32 = 8;
/// The first pause between two tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Where notices go.
#[derive(Debug)]
struct Webhook {
    http: reqwest::Client,
    url: Url,
    /// The same without path and query, for the log.
    shown: Url,
    key: HmacKey,
}

/// Looks at all clients from time to time, and tells the webhook, if there is one.
#[derive(Debug)]
pub(super) struct Reviewer {
    service: Arc<Service>,
    entropy: Arc<dyn Entropy>,
    every: Duration,
    webhook: Option<Webhook>,
}

impl Reviewer {
    /// A reviewer as the configuration has it.
    ///
    /// # Errors
    /// What is wrong with `webhook.*`.
    pub(super) fn new(config: &Config, service: Arc<Service>, entropy: Arc<dyn Entropy>) -> Result<Self, String> {
        let webhook = match (&config.webhook.url, &config.webhook.secret) {
            (None, _) => None,
            (Some(_), None) => {
                return Err("webhook.secret is missing: what is sent to webhook.url is signed".to_owned());
            }
            (Some(url), Some(secret)) => {
                let url = http_url(url.reveal()).map_err(|error| format!("webhook.url: {error}"))?;
                let mut shown = url.clone();
                shown.set_path("");
                shown.set_query(None);
                let key = HmacKey::sha256(&key(secret.reveal())?);
                Some(Webhook { url, shown, key, http: http_client().map_err(|error| error.to_string())? })
            }
        };
        Ok(Self { service, entropy, every: config.review.every.duration(), webhook })
    }

    /// Runs until `stop` turns true.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut times = tokio::time::interval(self.every.max(Duration::from_secs(1)));
        times.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = times.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::select! {
                () = self.review() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn review(&self) {
        if let Err(error) = self.review_all().await {
            tracing::warn!(cause = error.cause(), "clients could not be reviewed; it is tried again next time");
        }
    }

    async fn review_all(&self) -> Result<(), Error> {
        let mut run = self.service.begin_review(self.webhook.is_some());
        while let Some(notices) = self.service.review_on(&mut run).await? {
            let Some(webhook) = &self.webhook else { continue };
            for notice in notices {
                if !self.deliver(webhook, &notice).await {
                    // The others would fare no better; the next review finds them all again.
                    run.only_count();
                    break;
                }
                if let Err(error) = self.service.told(&notice).await {
                    tracing::warn!(cause = error.cause(), "a notice has arrived and may arrive once more");
                }
            }
        }
        Ok(())
    }

    /// Sends a notice until it has arrived; false where it has not.
    async fn deliver(&self, webhook: &Webhook, notice: &Notice) -> bool {
        let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
        for tried in 1..=TRIES {
            match webhook.send(notice, &self.service).await {
                Ok(()) => return true,
                Err(error) => tracing::warn!(%error, tried, notice = notice.id, "the webhook could not be told"),
            }
            if tried < TRIES {
                tokio::time::sleep(pauses.next(&*self.entropy)).await;
            }
        }
        false
    }
}

impl Webhook {
    async fn send(&self, notice: &Notice, service: &Service) -> Result<(), FetchError> {
        let now = service.clock().now();
        let body = json!({
            "type": "mintage.review",
            "timestamp": Rfc3339(now),
            "data": { "issuer": &*service.settings().issuer, "findings": notice.findings },
        })
        .to_string();
        let signed = format!("{}.{}.{body}", notice.id, now.seconds());
        let signature = STANDARD.encode(self.key.tag(signed.as_bytes()));
        let request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", now.seconds())
            .header("webhook-signature", format!("v1,{signature}"))
            .body(body);
        let response = request.send().await.map_err(|error| FetchError::unreachable(&self.shown, &error))?;
        if response.status().is_success() { Ok(()) } else { Err(FetchError::status(&self.shown, &response)) }
    }
}

/// The key of a secret: as Standard Webhooks writes one (`whsec_` and base64), or any other text as it is.
fn key(secret: &str) -> Result<Vec<u8>, String> {
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| "webhook.secret: what follows whsec_ is no base64")?,
        None => secret.as_bytes().to_vec(),
    };
    if key.len() < 24 {
        return Err("webhook.secret has to have 24 bytes at least: whsec_$(openssl rand -base64 32)".to_owned());
    }
    Ok(key)
}
