//! A middleware for `reqwest-middleware`.

use async_trait::async_trait;
use http::Extensions;
use reqwest::header::AUTHORIZATION;
use reqwest::{Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};

use crate::client::TokenSource;

use super::refuses_token;

/// Puts a token on every request. Where the answer is 401 `invalid_token`, a new one is fetched, once however many
/// requests are answered so, and the request made once more, if it can be cloned (a streamed body cannot).
///
/// A request that has an `Authorization` of its own is left as it is. Give each API a client of its own: a token goes to
/// whatever the client is asked to call. Only where a redirect leads to another origin, reqwest takes it off.
#[derive(Clone, Debug)]
pub struct Bearer {
    source: TokenSource,
}

impl Bearer {
    /// With tokens of `source`.
    #[must_use]
    pub const fn new(source: TokenSource) -> Self {
        Self { source }
    }

    /// A client that does so, and has no other middleware.
    #[must_use]
    pub fn client(self, http: reqwest::Client) -> ClientWithMiddleware {
        ClientBuilder::new(http).with(self).build()
    }
}

#[async_trait]
impl Middleware for Bearer {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        if request.headers().contains_key(AUTHORIZATION) {
            return next.run(request, extensions).await;
        }
        let token = self.source.token().await.map_err(reqwest_middleware::Error::middleware)?;
        let again = request.try_clone();
        request.headers_mut().insert(AUTHORIZATION, token.authorization());
        let response = next.clone().run(request, extensions).await?;
        if !refuses_token(response.status(), response.headers()) {
            return Ok(response);
        }
        match (self.source.replace(&token).await, again) {
            (Ok(other), Some(mut request)) if !other.is_same(&token) => {
                request.headers_mut().insert(AUTHORIZATION, other.authorization());
                // Its body may hold what the second try needs: a permit of a middleware that limits.
                drop(response);
                next.run(request, extensions).await
            }
            // What the resource said is the best answer there is.
            _ => Ok(response),
        }
    }
}
