//! A registry behind a server of files: `https://HOST/PATH`. It is only read from; whoever publishes writes to what it serves.

use crate::body::Body;
use crate::credentials::Credentials;
use crate::download::SILENCE;
use crate::error::{Cause, Error};
use crate::file_registry::{Document, FileRegistry, Files};
use crate::registry::{Answer, Location, Registry};
use futures_util::{StreamExt, TryStreamExt};
use longshore_package::sha256_hex;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;
use url::Url;

/// The time to connect.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// Longest time for a small file.
const SMALL: Duration = Duration::from_secs(60);

pub(crate) fn open<'a>(location: &'a Location<'a>) -> Answer<'a, Arc<dyn Registry>> {
    Box::pin(async move {
        let mut base = Url::parse(location.address).map_err(|error| location.bad(error.to_string()))?;
        if base.query().is_some() || base.fragment().is_some() {
            return Err(location.bad("it has a query or a fragment".to_owned()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let credentials =
            Credentials::of_host(base.host_str().unwrap_or_default(), base.scheme() == "https")?;
        let client = client().map_err(|error| location.bad(error.to_string()))?;
        Ok(Arc::new(FileRegistry(Http { address: base.to_string(), base, client, credentials }))
            as Arc<dyn Registry>)
    })
}

fn client() -> reqwest::Result<Client> {
    install_crypto();
    let agent = concat!("longshore/", env!("CARGO_PKG_VERSION"));
    Client::builder().user_agent(agent).connect_timeout(CONNECT).read_timeout(SILENCE).build()
}

/// Chooses the cryptography of TLS for the whole program, unless it has chosen already.
pub(crate) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the program has one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A server of files.
struct Http {
    address: String,
    base: Url,
    client: Client,
    credentials: Credentials,
}

impl Http {
    fn get(&self, path: &str) -> Result<RequestBuilder, Error> {
        let url = self.base.join(path).map_err(|error| self.unreachable(error))?;
        let request = self.client.get(url);
        // The client takes them off again when it is sent to another host.
        Ok(match &self.credentials {
            Credentials::None => request,
            Credentials::Token(token) => request.bearer_auth(token),
            Credentials::Password(user, password) => request.basic_auth(user, Some(password)),
        })
    }

    fn unreachable(&self, source: impl Into<Cause>) -> Error {
        Error::Unreachable { registry: self.address.clone(), source: source.into() }
    }

    /// The answer to a request; none when there is no such file.
    async fn send(&self, request: RequestBuilder) -> Result<Option<Response>, Error> {
        let response = request.send().await.map_err(|error| self.unreachable(error.without_url()))?;
        let status = response.status();
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Error::Denied { registry: self.address.clone(), message: status.to_string() })
            }
            status if status.is_success() => Ok(Some(response)),
            status => Err(self.unreachable(format!("it answers {status}"))),
        }
    }

    async fn load_limited(&self, path: &str, limit: u64) -> Result<Option<Document>, Error> {
        let Some(response) = self.send(self.get(path)?).await? else { return Ok(None) };
        let (mut bytes, mut chunks) = (Vec::new(), response.bytes_stream());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.unreachable(error.without_url()))?;
            if bytes.len() as u64 + chunk.len() as u64 > limit {
                return Ok(Some(Document::too_large()));
            }
            bytes.extend_from_slice(&chunk);
        }
        let revision = sha256_hex(&bytes);
        Ok(Some(Document::whole(bytes, revision)))
    }

    fn read_only<T>(&self) -> Answer<'_, T> {
        Box::pin(async { Err(Error::ReadOnly { registry: self.address.clone() }) })
    }
}

/// The offset that an answer begins at; none when it does not say.
fn offset_of(response: &Response) -> Option<u64> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Some(0);
    }
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

impl Files for Http {
    fn address(&self) -> &str {
        &self.address
    }

    fn load<'a>(&'a self, path: &'a str, limit: u64) -> Answer<'a, Option<Document>> {
        Box::pin(async move {
            let bytes = tokio::time::timeout(SMALL, self.load_limited(path, limit)).await;
            let late = || self.unreachable(format!("{path} takes longer than {} s", SMALL.as_secs()));
            bytes.unwrap_or_else(|_| Err(late()))
        })
    }

    fn store<'a>(&'a self, _: &'a str, _: Vec<u8>, _: Option<&'a str>) -> Answer<'a, bool> {
        self.read_only()
    }

    fn size<'a>(&'a self, _: &'a str) -> Answer<'a, Option<u64>> {
        self.read_only()
    }

    fn read<'a>(&'a self, path: &'a str, from: u64) -> Answer<'a, Body> {
        Box::pin(async move {
            let request = self.get(path)?;
            let request = if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request };
            let response = self.send(request).await?;
            let response = response.ok_or_else(|| self.unreachable(format!("it has no {path}")))?;
            let from = offset_of(&response)
                .ok_or_else(|| self.unreachable("it does not say which range it sends"))?;
            let chunks = response.bytes_stream().map_err(|error| Cause::from(error.without_url()));
            Ok(Body { from, chunks: Box::pin(chunks) })
        })
    }

    fn upload<'a>(&'a self, _: &'a str, _: &'a Path) -> Answer<'a, ()> {
        self.read_only()
    }
}
