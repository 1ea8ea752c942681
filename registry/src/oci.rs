//! A registry that speaks OCI, as those of containers do: `oci://HOST/PREFIX`, or `oci+http://..` without TLS.
//!
//! A package is the repository `PREFIX/NAME`, a release an artifact of its own media type in it: the archive is its one layer, the
//! release's entry in the index is its config. The tag of a release is its version, with `_` for the `+` that tags may not have;
//! channels are tags that begin with a letter.

use crate::blocking::{blocking, file_error};
use crate::body::{Body, body};
use crate::credentials::Credentials;
use crate::download::SILENCE;
use crate::error::{Cause, Error};
use crate::http::{CONNECT, install_crypto};
use crate::index::{Edit, Index, MAX_RELEASE, Release, is_channel_name};
use crate::registry::{Answer, Location, Registry};
use futures_util::{StreamExt, TryStreamExt};
use longshore_package::{Digest, PackageName, is_package_name};
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError as OciError, OciErrorCode};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest, OciManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use semver::Version;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The kind of artifact that a release is.
const ARTIFACT: &str = "application/vnd.longshore.package.v1";

/// The media type of its layer: an archive.
const ARCHIVE: &str = "application/vnd.longshore.archive.v1+zip";

/// The media type of its config: the release as the index has it.
const RELEASE: &str = "application/vnd.longshore.release.v1+json";

/// The name of a release's file, for tools that unpack layers.
const TITLE: &str = "org.opencontainers.image.title";

/// Most tags of a package.
const MAX_TAGS: usize = 20_000;

/// Most repositories of a registry.
const MAX_NAMES: usize = 100_000;

/// Tags or names of one answer.
const PAGE: usize = 500;

/// Longest time to send an archive.
const UPLOAD: Duration = Duration::from_secs(15 * 60);

/// Releases whose entries are read at once.
const AT_ONCE: usize = 8;

pub(crate) fn open<'a>(location: &'a Location<'a>) -> Answer<'a, Arc<dyn Registry>> {
    Box::pin(async move {
        install_crypto();
        let place = location.rest.trim_start_matches('/').trim_end_matches('/');
        let (host, prefix) = place.split_once('/').unwrap_or((place, ""));
        let plain = location.scheme == "oci+http";
        let client = |read_timeout: Duration| {
            let config = ClientConfig {
                protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
                connect_timeout: Some(CONNECT),
                read_timeout: Some(read_timeout),
                // Some registries take nothing else.
                use_monolithic_push: true,
                ..ClientConfig::default()
            };
            Client::try_from(config).map_err(|error| location.bad(error.to_string()))
        };
        // The client counts the time to send as silence.
        let (client, uploads) = (client(SILENCE)?, client(UPLOAD)?);
        let (auth, name) = (auth_of(host, !plain).await?, host.to_owned());
        client.store_auth_if_needed(host, &auth).await;
        uploads.store_auth_if_needed(host, &auth).await;
        let (address, prefix) = (location.address.to_owned(), prefix.to_owned());
        Ok(Arc::new(Oci { address, host: name, prefix, client, uploads, auth, known: Mutex::default() })
            as Arc<dyn Registry>)
    })
}

/// The credentials for a host: of the environment, of netrc, or as `docker login` keeps them.
async fn auth_of(host: &str, is_private: bool) -> Result<RegistryAuth, Error> {
    match Credentials::of_host(host.split(':').next().unwrap_or(host), is_private)? {
        Credentials::Token(token) => return Ok(RegistryAuth::Bearer(token)),
        Credentials::Password(user, password) => return Ok(RegistryAuth::Basic(user, password)),
        Credentials::None => {}
    }
    let host = host.to_owned();
    blocking(move || {
        use docker_credential::{CredentialRetrievalError as Missing, DockerCredential, get_credential};
        match get_credential(&host) {
            Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
            Ok(DockerCredential::IdentityToken(_)) => Err(Error::Credentials {
                place: "the configuration of docker (an identity token, which is not supported)".to_owned(),
            }),
            // A store of secrets that has none for this host.
            Err(Missing::HelperFailure { stdout, .. }) if stdout.contains("not found") => {
                Ok(RegistryAuth::Anonymous)
            }
            Err(Missing::ConfigNotFound | Missing::NoCredentialConfigured | Missing::ConfigReadError) => {
                Ok(RegistryAuth::Anonymous)
            }
            // Its text may be that of a helper that prints secrets.
            Err(_) => Err(Error::Credentials { place: "the configuration of docker".to_owned() }),
        }
    })
    .await
}

/// The repositories of a registry below a prefix.
struct Oci {
    address: String,
    host: String,
    prefix: String,
    client: Client,
    /// For what takes long to send.
    uploads: Client,
    auth: RegistryAuth,
    /// Releases by tag, as they were read.
    known: Mutex<HashMap<String, Known>>,
}

/// A manifest's digest, and the release that it is of.
type Known = (String, Option<Release>);

/// Meaning of a tag.
enum Tag {
    Release(Version),
    Channel(String),
}

impl Tag {
    fn parse(text: &str) -> Option<Self> {
        match Version::parse(&text.replace('_', "+")) {
            Ok(version) => Some(Self::Release(version)),
            Err(_) => is_channel_name(text).then(|| Self::Channel(text.to_owned())),
        }
    }
}

/// True of a package that can have a repository: those are in lower case.
fn is_repository(name: &PackageName) -> bool {
    is_package_name(name.as_str()) && !name.as_str().contains(|c: char| c.is_ascii_uppercase())
}

/// The tag of a build for a content hash: too long for a channel.
fn prebuilt_tag(content: &Digest) -> String {
    format!("src-{content}")
}

fn tag_of(version: &Version) -> String {
    version.to_string().replace('+', "_")
}

impl Oci {
    /// A tag of the repository of a package.
    fn reference(&self, name: &PackageName, tag: String) -> Reference {
        let name = name.as_str();
        let repository =
            if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
        Reference::with_tag(self.host.clone(), repository, tag)
    }

    fn failed(&self, error: OciError) -> Error {
        let registry = self.address.clone();
        let denied =
            |message: &str| Error::Denied { registry: registry.clone(), message: message.to_owned() };
        match &error {
            OciError::UnauthorizedError { .. } | OciError::AuthenticationFailure(_) => {
                denied("it does not know these credentials")
            }
            OciError::RegistryError { envelope, .. }
                if envelope
                    .errors
                    .iter()
                    .any(|e| matches!(e.code, OciErrorCode::Denied | OciErrorCode::Unauthorized)) =>
            {
                denied("these credentials may not")
            }
            _ => Error::Unreachable { registry, source: plain(error) },
        }
    }

    /// The tags of a package; none when it has no repository.
    async fn tags(&self, name: &PackageName) -> Result<BTreeSet<String>, Error> {
        let reference = &self.reference(name, "latest".to_owned());
        let page = |last: Option<String>| -> Answer<'_, Vec<String>> {
            Box::pin(async move {
                match self.client.list_tags(reference, &self.auth, Some(PAGE), last.as_deref()).await {
                    Ok(page) => Ok(page.tags),
                    Err(error) if is_missing(&error) && last.is_none() => Ok(Vec::new()),
                    Err(error) => Err(self.failed(error)),
                }
            })
        };
        let tags = all_pages(MAX_TAGS, page).await?;
        tags.ok_or_else(|| self.too_many(name.clone(), MAX_TAGS))
    }

    fn too_many(&self, name: PackageName, limit: usize) -> Error {
        let message = format!("a list of the registry has more than {limit} entries");
        Error::Index { registry: self.address.clone(), name, message }
    }

    /// The release behind a tag; none when it is another artifact, or of another package. One that was read before is asked for by
    /// its digest only: a host asks again and again, and registries count what is pulled.
    async fn release(&self, name: &PackageName, tag: String) -> Result<Option<Release>, Error> {
        let reference = self.reference(name, tag);
        let key = reference.whole();
        let known = self.known().get(&key).cloned();
        if let Some((digest, release)) = known
            && self.client.fetch_manifest_digest(&reference, &self.auth).await.is_ok_and(|now| now == digest)
        {
            return Ok(release);
        }
        let pulled = self.client.pull_image_manifest(&reference, &self.auth).await;
        let (manifest, digest) = match pulled {
            Ok(pulled) => pulled,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let release = self.release_of(name, &reference, &manifest).await?;
        let mut known = self.known();
        if known.len() >= MAX_TAGS {
            known.clear();
        }
        known.insert(key, (digest, release.clone()));
        Ok(release)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The release that a manifest is of.
    async fn release_of(
        &self,
        name: &PackageName,
        reference: &Reference,
        manifest: &OciImageManifest,
    ) -> Result<Option<Release>, Error> {
        let is_ours = manifest.config.media_type == RELEASE && manifest.layers.len() == 1;
        if !is_ours || u64::try_from(manifest.config.size).is_ok_and(|bytes| bytes > MAX_RELEASE) {
            return Ok(None);
        }
        let bytes = self.config(reference, &manifest.config).await?;
        let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| Error::Index {
            registry: self.address.clone(),
            name: name.clone(),
            message: error.to_string(),
        })?;
        Ok((entry.name == *name).then_some(entry.release))
    }

    async fn config(&self, reference: &Reference, config: &OciDescriptor) -> Result<Vec<u8>, Error> {
        let stream = self.client.pull_blob_stream(reference, config).await;
        let mut stream = stream.map_err(|error| self.failed(error))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            let unreachable = |source: Cause| Error::Unreachable { registry: self.address.clone(), source };
            bytes.extend_from_slice(&chunk.map_err(|error| unreachable(error.into()))?);
            if bytes.len() as u64 > MAX_RELEASE {
                return Err(unreachable(format!("a config has more than {MAX_RELEASE} bytes").into()));
            }
        }
        Ok(bytes)
    }

    async fn load_index(&self, name: &PackageName) -> Result<Option<Index>, Error> {
        if !is_repository(name) {
            return Ok(None);
        }
        let tags = self.tags(name).await?;
        let tags: Vec<Tag> = tags.iter().filter_map(|tag| Tag::parse(tag)).collect();
        let found = futures_util::stream::iter(tags).map(|tag| async move {
            let text = match &tag {
                Tag::Release(version) => tag_of(version),
                Tag::Channel(channel) => channel.clone(),
            };
            Ok::<_, Error>((tag, self.release(name, text).await?))
        });
        let found: Vec<_> = found.buffer_unordered(AT_ONCE).try_collect().await?;
        let (mut releases, mut promoted, mut channels) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (tag, release) in found {
            match (tag, release) {
                (Tag::Release(version), Some(release)) if release.version == version => {
                    releases.push(release)
                }
                (Tag::Channel(channel), Some(release)) => {
                    channels.insert(channel, release.version.clone());
                    promoted.push(release);
                }
                _ => {}
            }
        }
        // One that was published while the tags were read, or whose own tag was deleted.
        for release in promoted {
            if releases.iter().all(|known: &Release| known.version != release.version) {
                releases.push(release);
            }
        }
        if releases.is_empty() {
            return Ok(None);
        }
        Index::of_parts(name.clone(), channels, releases, &self.address).map(Some)
    }

    async fn push(&self, name: &PackageName, release: &Release, tag: String) -> Result<(), Error> {
        let reference = self.reference(name, tag);
        let entry = Entry { name: name.clone(), release: release.clone() };
        let config = serde_json::to_vec(&entry).unwrap_or_default();
        let digest = format!("sha256:{:x}", Sha256::digest(&config));
        let descriptor = |media_type: &str, digest: &str, size: usize| OciDescriptor {
            media_type: media_type.to_owned(),
            digest: digest.to_owned(),
            size: size as i64,
            ..OciDescriptor::default()
        };
        let title = format!("{name}-{}.longshore", release.version);
        let bytes = usize::try_from(release.bytes).unwrap_or(usize::MAX);
        let layer = OciDescriptor {
            annotations: Some(BTreeMap::from([(TITLE.to_owned(), title)])),
            ..descriptor(ARCHIVE, &layer_digest(release), bytes)
        };
        let manifest = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            artifact_type: Some(ARTIFACT.to_owned()),
            config: descriptor(RELEASE, &digest, config.len()),
            layers: vec![layer],
            ..OciImageManifest::default()
        };
        self.authorize(&reference, RegistryOperation::Push).await?;
        self.client.push_blob(&reference, config, &digest).await.map_err(|error| self.failed(error))?;
        let pushed = self.client.push_manifest(&reference, &OciManifest::Image(manifest)).await;
        pushed.map(drop).map_err(|error| self.failed(error))
    }

    fn check_name(&self, name: &PackageName) -> Result<(), Error> {
        if is_repository(name) {
            return Ok(());
        }
        let message = "names in registries of containers have no capital letters".to_owned();
        Err(Error::Edit { name: name.clone(), message })
    }

    async fn authorize(&self, reference: &Reference, operation: RegistryOperation) -> Result<(), Error> {
        let done = self.client.auth(reference, &self.auth, operation).await;
        done.map(drop).map_err(|error| self.failed(error))
    }

    /// Writes what an edit changes: the release, and the channels that stand at it.
    async fn write(&self, index: &Index, version: &Version, channels: Vec<String>) -> Result<(), Error> {
        let Some(release) = index.release(version) else { return Ok(()) };
        self.push(&index.name, release, tag_of(version)).await?;
        for channel in channels {
            self.push(&index.name, release, channel).await?;
        }
        Ok(())
    }

    async fn names_below(&self) -> Result<Vec<PackageName>, Error> {
        let reference = &Reference::with_tag(self.host.clone(), "any".to_owned(), "latest".to_owned());
        let page = |last: Option<String>| -> Answer<'_, Vec<String>> {
            Box::pin(async move {
                let page = self.client.catalog(reference, &self.auth, Some(PAGE), last.as_deref()).await;
                page.map(|page| page.repositories).map_err(|error| self.failed(error))
            })
        };
        let repositories = all_pages(MAX_NAMES, page).await?;
        let repositories = repositories.ok_or_else(|| self.too_many("_catalog".into(), MAX_NAMES))?;
        let mut names: Vec<PackageName> = Vec::new();
        for repository in repositories {
            let below = if self.prefix.is_empty() {
                Some(repository.as_str())
            } else {
                repository.strip_prefix(&format!("{}/", self.prefix))
            };
            names.extend(below.filter(|name| is_package_name(name)).map(PackageName::from));
        }
        names.sort();
        Ok(names)
    }
}

/// All entries of a list that comes in pages; none when there are more than a limit. Registries send fewer than they are asked
/// for, or all at once: the last page is the one that brings nothing new.
async fn all_pages<'a>(
    limit: usize,
    page: impl Fn(Option<String>) -> Answer<'a, Vec<String>>,
) -> Result<Option<BTreeSet<String>>, Error> {
    let (mut entries, mut last) = (BTreeSet::new(), None);
    loop {
        let (page, before) = (page(last).await?, entries.len());
        last = page.last().cloned();
        entries.extend(page);
        if entries.len() > limit {
            return Ok(None);
        }
        if entries.len() == before {
            return Ok(Some(entries));
        }
    }
}

/// The config of a release.
#[derive(serde::Serialize, serde::Deserialize)]
struct Entry {
    name: PackageName,
    #[serde(flatten)]
    release: Release,
}

fn layer_digest(release: &Release) -> String {
    format!("sha256:{}", release.sha256)
}

/// An error without addresses, which may have secrets after redirects, and without bodies.
fn plain(error: OciError) -> Cause {
    match error {
        OciError::ServerError { code, .. } => format!("it answers {code}").into(),
        OciError::RegistryError { envelope, .. } => {
            let codes: Vec<String> =
                envelope.errors.iter().map(|error| format!("{:?}", error.code)).collect();
            format!("it answers {}", codes.join(", ")).into()
        }
        OciError::RequestError(error) => error.without_url().into(),
        other => other.into(),
    }
}

fn is_missing(error: &OciError) -> bool {
    match error {
        OciError::ImageManifestNotFoundError(_) | OciError::ServerError { code: 404, .. } => true,
        OciError::RegistryError { envelope, .. } => envelope.errors.iter().any(|e| {
            matches!(
                e.code,
                OciErrorCode::NameUnknown | OciErrorCode::ManifestUnknown | OciErrorCode::NotFound
            )
        }),
        _ => false,
    }
}

impl Registry for Oci {
    fn address(&self) -> &str {
        &self.address
    }

    fn names(&self) -> Answer<'_, Vec<PackageName>> {
        Box::pin(self.names_below())
    }

    fn index<'a>(&'a self, name: &'a PackageName) -> Answer<'a, Index> {
        Box::pin(async move {
            let missing = || Error::NoPackage { registry: self.address.clone(), name: name.clone() };
            self.load_index(name).await?.ok_or_else(missing)
        })
    }

    fn read<'a>(&'a self, name: &'a PackageName, release: &'a Release, from: u64) -> Answer<'a, Body> {
        Box::pin(async move {
            let (reference, digest) = (self.reference(name, tag_of(&release.version)), layer_digest(release));
            self.authorize(&reference, RegistryOperation::Pull).await?;
            let body = |from, stream: oci_client::client::SizedStream| Body {
                from,
                chunks: Box::pin(stream.map_err(Cause::from)),
            };
            if from == 0 {
                let stream = self.client.pull_blob_stream(&reference, digest.as_str()).await;
                return Ok(body(0, stream.map_err(|error| self.failed(error))?));
            }
            let answer = self.client.pull_blob_stream_partial(&reference, digest.as_str(), from, None).await;
            Ok(match answer.map_err(|error| self.failed(error))? {
                BlobResponse::Full(stream) => body(0, stream),
                BlobResponse::Partial(stream) => body(from, stream),
            })
        })
    }

    fn has<'a>(&'a self, name: &'a PackageName, release: &'a Release) -> Answer<'a, bool> {
        Box::pin(async move {
            let reference = self.reference(name, tag_of(&release.version));
            self.authorize(&reference, RegistryOperation::Pull).await?;
            let there = self.client.blob_exists(&reference, &layer_digest(release)).await;
            there.map_err(|error| self.failed(error))
        })
    }

    fn upload<'a>(&'a self, name: &'a PackageName, release: &'a Release, file: &'a Path) -> Answer<'a, ()> {
        Box::pin(async move {
            self.check_name(name)?;
            let reference = self.reference(name, tag_of(&release.version));
            let authorized = self.uploads.auth(&reference, &self.auth, RegistryOperation::Push).await;
            authorized.map_err(|error| self.failed(error))?;
            let path = file.to_owned();
            let open = blocking(move || File::open(&path).map_err(|source| file_error(&path, source)));
            let chunks = body(open.await?, 0..release.bytes).chunks;
            let chunks = chunks.map_err(|error| OciError::GenericError(Some(error.to_string())));
            let digest = layer_digest(release);
            let pushed = self.uploads.push_blob_stream(&reference, chunks, &digest, Some(release.bytes));
            pushed.await.map(drop).map_err(|error| self.failed(error))
        })
    }

    fn edit<'a>(&'a self, name: &'a PackageName, edit: Edit) -> Answer<'a, Index> {
        Box::pin(async move {
            self.check_name(name)?;
            let mut index = Index::to_edit(self.load_index(name).await?, name, &edit, &self.address)?;
            let (version, promoted) = match &edit {
                Edit::Release(release) => (release.version.clone(), None),
                Edit::Yank { version, .. } => (version.clone(), None),
                Edit::Promote { channel, version } => (version.clone(), Some(channel.clone())),
            };
            if index.apply(edit)? {
                let mut channels: Vec<String> = index.channels_at(&version).map(str::to_owned).collect();
                channels.retain(|channel| promoted.as_ref().is_none_or(|promoted| promoted == channel));
                self.write(&index, &version, channels).await?;
            }
            Ok(index)
        })
    }

    fn prebuilt<'a>(&'a self, name: &'a PackageName, content: &'a Digest) -> Answer<'a, Option<Release>> {
        Box::pin(async move { self.release(name, prebuilt_tag(content)).await })
    }

    fn put_prebuilt<'a>(
        &'a self,
        name: &'a PackageName,
        content: &'a Digest,
        release: &'a Release,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let tag = prebuilt_tag(content);
            match self.release(name, tag.clone()).await? {
                Some(_) => Ok(()),
                None => self.push(name, release, tag).await,
            }
        })
    }
}
