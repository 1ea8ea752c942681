//! A registry in an object store that speaks S3: `s3://BUCKET/PREFIX`. Credentials, region and endpoint come from the
//! variables of AWS (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, ..).

use crate::blocking::file_error;
use crate::body::{Body, CHUNK};
use crate::download::SILENCE;
use crate::error::{Cause, Error};
use crate::file_registry::{Document, FileRegistry, Files};
use crate::http::{CONNECT, install_crypto};
use crate::registry::{Answer, Location, Registry};
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Place;
use object_store::{
    ClientOptions, Error as StoreError, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode,
    RetryConfig, UpdateVersion, WriteMultipart,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Longest time that one request is repeated.
const RETRIED: Duration = Duration::from_secs(30);

/// Longest time to send one part of an upload.
const PART: Duration = Duration::from_secs(300);

/// Parts of an upload on their way at once.
const PARTS: usize = 4;

pub(crate) fn open<'a>(location: &'a Location<'a>) -> Answer<'a, Arc<dyn Registry>> {
    Box::pin(async move {
        install_crypto();
        let place = location.rest.trim_start_matches('/');
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let endpoint = std::env::var("AWS_ENDPOINT").or_else(|_| std::env::var("AWS_ENDPOINT_URL"));
        let allows_http = endpoint.is_ok_and(|endpoint| endpoint.starts_with("http:"));
        let build = |client: ClientOptions| {
            let retry = RetryConfig { max_retries: 5, retry_timeout: RETRIED, ..RetryConfig::default() };
            let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
            // After the options, which it is one of.
            let builder = builder.with_client_options(client.with_connect_timeout(CONNECT));
            let built = builder.with_allow_http(allows_http).build();
            built.map_err(|error| location.bad(error.to_string()))
        };
        let store = build(ClientOptions::new().with_timeout_disabled().with_read_timeout(SILENCE))?;
        // The client counts the time to send as silence.
        let uploads = build(ClientOptions::new().with_timeout(PART).with_read_timeout(PART))?;
        let root = Place::parse(prefix).map_err(|error| location.bad(error.to_string()))?;
        Ok(Arc::new(FileRegistry(Bucket { address: location.address.to_owned(), root, store, uploads }))
            as Arc<dyn Registry>)
    })
}

/// A bucket, or a part of one.
struct Bucket {
    address: String,
    root: Place,
    store: AmazonS3,
    uploads: AmazonS3,
}

impl Bucket {
    fn place(&self, path: &str) -> Place {
        path.split('/').fold(self.root.clone(), |place, part| place.join(part))
    }

    fn failed(&self, error: StoreError) -> Error {
        let registry = self.address.clone();
        match error {
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => Error::Denied {
                registry,
                message: "it does not know these credentials, or they may not".to_owned(),
            },
            error => Error::Unreachable { registry, source: error.into() },
        }
    }

    async fn write(&self, place: &Place, file: &Path) -> Result<(), Error> {
        let upload = self.uploads.put_multipart(place).await.map_err(|error| self.failed(error))?;
        let mut upload = WriteMultipart::new(upload);
        let mut reader = tokio::fs::File::open(file).await.map_err(|source| file_error(file, source))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let n = reader.read(&mut buffer).await.map_err(|source| file_error(file, source))?;
            if n == 0 {
                break;
            }
            if let Err(error) = upload.wait_for_capacity(PARTS).await {
                // What was sent is paid for until it is given up.
                let _ = upload.abort().await;
                return Err(self.failed(error));
            }
            upload.write(&buffer[..n]);
        }
        upload.finish().await.map_err(|error| self.failed(error))?;
        Ok(())
    }
}

impl Files for Bucket {
    fn address(&self) -> &str {
        &self.address
    }

    fn load<'a>(&'a self, path: &'a str, limit: u64) -> Answer<'a, Option<Document>> {
        Box::pin(async move {
            let found = match self.store.get(&self.place(path)).await {
                Ok(found) => found,
                Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(self.failed(error)),
            };
            if found.meta.size > limit {
                return Ok(Some(Document::too_large()));
            }
            let untagged = || {
                let (registry, source) = (self.address.clone(), format!("{path} has no entity tag").into());
                Error::Unreachable { registry, source }
            };
            let revision = found.meta.e_tag.clone().ok_or_else(untagged)?;
            let bytes = found.bytes().await.map_err(|error| self.failed(error))?.to_vec();
            Ok(Some(Document::whole(bytes, revision)))
        })
    }

    fn store<'a>(&'a self, path: &'a str, bytes: Vec<u8>, before: Option<&'a str>) -> Answer<'a, bool> {
        Box::pin(async move {
            let mode = match before {
                None => PutMode::Create,
                Some(tag) => PutMode::Update(UpdateVersion { e_tag: Some(tag.to_owned()), version: None }),
            };
            match self.store.put_opts(&self.place(path), bytes.into(), mode.into()).await {
                Ok(_) => Ok(true),
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(false),
                Err(error) => Err(self.failed(error)),
            }
        })
    }

    fn size<'a>(&'a self, path: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(async move {
            match self.store.head(&self.place(path)).await {
                Ok(meta) => Ok(Some(meta.size)),
                Err(StoreError::NotFound { .. }) => Ok(None),
                Err(error) => Err(self.failed(error)),
            }
        })
    }

    fn read<'a>(&'a self, path: &'a str, from: u64) -> Answer<'a, Body> {
        Box::pin(async move {
            let range = (from > 0).then_some(GetRange::Offset(from));
            let options = GetOptions { range, ..GetOptions::default() };
            let found =
                self.store.get_opts(&self.place(path), options).await.map_err(|error| self.failed(error))?;
            let from = found.range.start;
            Ok(Body { from, chunks: Box::pin(found.into_stream().map_err(Cause::from)) })
        })
    }

    fn upload<'a>(&'a self, path: &'a str, file: &'a Path) -> Answer<'a, ()> {
        Box::pin(async move { self.write(&self.place(path), file).await })
    }
}
