//! What nobody can leave out, and no more: read the form and the Basic credentials, hash the secret and compare, sign.
//! One client, one key, no checks beyond that, no headers beyond axum's.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{FromRequestParts, State};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{StatusCode, request};
use mintage::oauth::metadata::TOKEN_PATH;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::de::value::{Error as FormError, MapDeserializer};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::Result;
use super::process::{API, Ready};

/// As long as the ones that mintage makes, so that tokens and requests are of one size.
const CLIENT_ID: &str = "c_0123456789abcdefghijkl";
const CLIENT_SECRET: &str = "mtg_cs_live_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG000000";
const GENERATION: &str = "0123456789abcdefghijkl";
const TTL: u64 = 3600;

struct Bare {
    issuer: String,
    secret_hash: Vec<u8>,
    random: SystemRandom,
    key: EcdsaKeyPair,
    /// The encoded header and the dot behind it.
    prefix: String,
}

#[derive(Deserialize)]
struct Form {
    grant_type: String,
    scope: String,
}

struct Basic {
    id: String,
    secret: String,
}

/// The claims of mintage's tokens, in their order.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    client_id: &'a str,
    aud: &'a str,
    exp: u64,
    iat: u64,
    nbf: u64,
    jti: &'a str,
    scope: &'a str,
    org: &'a str,
    project: &'a str,
    env: &'a str,
    #[serde(rename = "gen")]
    generation: &'a str,
}

#[derive(Serialize)]
struct Answer {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    refresh_in: u64,
}

pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(|_| "no key")?;
    let header = serde_json::json!({ "typ": "at+jwt", "alg": "ES256", "kid": "0".repeat(43) });
    let bare = Bare {
        issuer: format!("http://{address}"),
        secret_hash: digest(&SHA256, CLIENT_SECRET.as_bytes()).as_ref().to_vec(),
        key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)?,
        random,
        prefix: URL_SAFE_NO_PAD.encode(header.to_string()) + ".",
    };
    let routes = Router::new().route(TOKEN_PATH, post(token)).with_state(Arc::new(bare));
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    let ready = Ready { address, client_id: CLIENT_ID.to_owned(), client_secret: CLIENT_SECRET.to_owned() };
    let ended = ready.announce().await;
    serving.abort();
    ended
}

/// Not `HeaderMap`, which would copy all headers.
impl<S: Sync> FromRequestParts<S> for Basic {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> std::result::Result<Self, StatusCode> {
        let read = || {
            let encoded = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
            let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
            let (id, secret) = text.split_once(':')?;
            Some(Self { id: id.to_owned(), secret: secret.to_owned() })
        };
        read().ok_or(StatusCode::UNAUTHORIZED)
    }
}

async fn token(
    State(bare): State<Arc<Bare>>,
    basic: Basic,
    body: Bytes,
) -> std::result::Result<Json<Answer>, StatusCode> {
    // What `axum::Form` does within.
    let form = Form::deserialize(MapDeserializer::<_, FormError>::new(form_urlencoded::parse(&body)))
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    let hash = digest(&SHA256, basic.secret.as_bytes());
    if form.grant_type != "client_credentials" {
        return Err(StatusCode::BAD_REQUEST);
    }
    if basic.id != CLIENT_ID || !bool::from(hash.as_ref().ct_eq(&bare.secret_hash)) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let access_token = bare.sign(&form.scope).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(Json(Answer { access_token, token_type: "Bearer", expires_in: TTL, scope: form.scope, refresh_in: TTL - 300 }))
}

impl Bare {
    fn sign(&self, scope: &str) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let mut id = [0; 16];
        self.random.fill(&mut id).ok()?;
        let claims = serde_json::to_vec(&Claims {
            iss: &self.issuer,
            sub: CLIENT_ID,
            client_id: CLIENT_ID,
            aud: API,
            exp: now + TTL,
            iat: now,
            nbf: now,
            jti: &URL_SAFE_NO_PAD.encode(id),
            scope,
            org: "default",
            project: "default",
            env: "live",
            generation: GENERATION,
        })
        .ok()?;
        let mut token = String::with_capacity(self.prefix.len() + claims.len() * 4 / 3 + 100);
        token.push_str(&self.prefix);
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let signature = self.key.sign(&self.random, token.as_bytes()).ok()?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }
}
