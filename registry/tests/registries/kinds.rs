//! Every kind of registry does the same: releases, channels, yanks, downloads that go on.

use crate::support::{TARGET, archive, folder_with, publish};
use futures_util::StreamExt;
use longshore_package::PackageName;
use longshore_registry::{
    Downloads, Edit, Registry, Release, Requirement, Yanked, copy, fetch, open, publish as publish_signed,
    write_bundle,
};
use longshore_store::{Access, Store};
use longshore_testing::{FileServer, container_registry};
use std::path::Path;

fn requirement(text: &str) -> Requirement {
    text.parse().expect("a requirement")
}

async fn resolved(registry: &dyn Registry, text: &str) -> String {
    let requirement = requirement(text);
    let index = match registry.index(&requirement.name).await {
        Ok(index) => index,
        Err(error) => return error.code().to_owned(),
    };
    requirement
        .resolve(&index)
        .map_or_else(|error| error.code().to_owned(), |release| release.version.to_string())
}

/// The bytes of an archive from an offset, or from where the registry begins.
async fn read(registry: &dyn Registry, name: &PackageName, release: &Release, from: u64) -> (u64, Vec<u8>) {
    let mut body = registry.read(name, release, from).await.expect("reads");
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunks.next().await {
        bytes.extend_from_slice(&chunk.expect("arrives"));
    }
    (body.from, bytes)
}

/// All that a registry that can be written to does.
async fn does_what_registries_do(registry: &dyn Registry) {
    let folder = tempfile::tempdir().expect("folder");
    let name = PackageName::from("rates");
    assert_eq!(resolved(registry, "rates").await, "LS0803");
    assert_eq!(registry.names().await.expect("lists"), [] as [PackageName; 0]);
    let first = archive(folder.path(), "rates", "1.0.0+eu", 1);
    let published = publish(registry, &first).await;
    assert!(published.uploaded && published.release.targets == [TARGET]);
    assert!(!publish(registry, &first).await.uploaded, "what is there is not brought again");
    publish(registry, &archive(folder.path(), "rates", "1.2.0", 1)).await;
    publish(registry, &archive(folder.path(), "dates", "0.1.0", 1)).await;
    let other = archive(folder.path(), "rates", "1.2.0", 2);
    let error = publish_signed(registry, &other, &[], 1).await.expect_err("another digest");
    assert_eq!(error.code(), "LS0810");
    assert_eq!(registry.names().await.expect("lists"), ["dates", "rates"]);

    let promote = |channel: &str, version: &str| Edit::Promote {
        channel: channel.into(),
        version: version.parse().expect("a version"),
    };
    registry.edit(&name, promote("stable", "1.0.0+eu")).await.expect("promotes");
    registry.edit(&name, promote("beta", "1.2.0")).await.expect("promotes");
    assert_eq!(resolved(registry, "rates@stable").await, "1.0.0+eu");
    assert_eq!(resolved(registry, "rates@^1").await, "1.2.0");
    let version = "1.2.0".parse().expect("a version");
    let yanked = Some(Yanked { reason: "wrong rates".into() });
    registry.edit(&name, Edit::Yank { version, yanked }).await.expect("yanks");
    assert_eq!(resolved(registry, "rates@^1").await, "1.0.0+eu");
    assert_eq!(resolved(registry, "rates@beta").await, "LS0804", "its channel gives it to nobody either");
    assert_eq!(resolved(registry, "rates@1.2.0").await, "1.2.0");
    let missing = registry.edit(&"nobody".into(), promote("stable", "1.0.0")).await.expect_err("missing");
    assert_eq!(missing.code(), "LS0803");

    let index = registry.index(&name).await.expect("reads");
    let release = requirement("rates@stable").resolve(&index).expect("fits").clone();
    let whole = std::fs::read(&first).expect("reads");
    assert_eq!(read(registry, &name, &release, 0).await, (0, whole.clone()));
    let (from, rest) = read(registry, &name, &release, 2_000_001).await;
    assert!(from <= 2_000_001 && rest == whole[from as usize..], "from {from}");
    let downloads = Downloads::new(folder.path().join("downloads"));
    let (found, fetched) =
        fetch(registry, &requirement("rates@stable"), Some(TARGET), &downloads).await.expect("fetches");
    assert_eq!((&found, fetched.downloaded), (&release, release.bytes));
    assert_eq!(std::fs::read(&fetched.path).expect("reads"), whole);
    let again = fetch(registry, &requirement("rates@stable"), None, &downloads).await.expect("fetches").1;
    assert_eq!(again.downloaded, 0, "what is here is not fetched again");
    let error = fetch(registry, &requirement("rates@stable"), Some("mips-unknown-none"), &downloads).await;
    assert_eq!(error.expect_err("no build").code(), "LS0805");
}

#[tokio::test]
async fn a_folder_does_what_registries_do() {
    let folder = tempfile::tempdir().expect("folder");
    let place = folder.path().join("registry");
    let registry = open(&format!("file:{}", place.display())).await.expect("opens");
    let error = registry.names().await.expect_err("not there");
    assert_eq!(error.code(), "LS0806", "a folder that is not there may not be mounted");
    std::fs::create_dir(&place).expect("makes");
    does_what_registries_do(&*registry).await;
}

#[tokio::test]
async fn a_database_does_what_registries_do() {
    let folder = tempfile::tempdir().expect("folder");
    let url = Store::file_url(&folder.path().join("shared.db"));
    Store::open(&url, Access::Owner).await.expect("makes").close().await;
    does_what_registries_do(&*open(&url).await.expect("opens")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_does_what_registries_do() {
    let url = longshore_testing::Postgres::shared().database("registry");
    Store::open(&url, Access::Owner).await.expect("makes").close().await;
    does_what_registries_do(&*open(&url).await.expect("opens")).await;
}

#[tokio::test]
async fn a_registry_of_containers_does_what_registries_do() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_server, address)) = container_registry(folder.path()) else { return };
    let registry = open(&address).await.expect("opens");
    does_what_registries_do(&*registry).await;
    let elsewhere = open(&address.replace("team", "others")).await.expect("opens");
    assert_eq!(
        elsewhere.names().await.expect("lists"),
        [] as [PackageName; 0],
        "a prefix is a registry of its own"
    );
}

#[tokio::test]
async fn a_bundle_has_what_was_copied_into_it_and_is_only_read_from() {
    let folder = tempfile::tempdir().expect("folder");
    let from = folder_with(folder.path(), &["1.0.0", "1.1.0"]).await;
    let promote = Edit::Promote { channel: "stable".into(), version: "1.0.0".parse().expect("a version") };
    from.edit(&"rates".into(), promote).await.expect("promotes");
    let staged = folder.path().join("staged");
    std::fs::create_dir(&staged).expect("makes");
    let to = open(&staged.display().to_string()).await.expect("opens");
    let downloads = Downloads::new(folder.path().join("downloads"));
    let (copied, bytes) = copy(&*from, &*to, &requirement("rates"), &downloads).await.expect("copies");
    assert_eq!((copied.len(), bytes), (2, copied.iter().map(|release| release.bytes).sum()));
    let (_, bytes) = copy(&*from, &*to, &requirement("rates"), &downloads).await.expect("copies");
    assert_eq!(bytes, 0, "what is there is not fetched");
    let pack = |name: &str| {
        let file = folder.path().join(name);
        write_bundle(&staged, &file).expect("packs");
        (std::fs::read(&file).expect("reads"), file)
    };
    let ((one, file), (two, _)) = (pack("one.bundle"), pack("two.bundle"));
    assert!(one == two, "the same files make the same bytes");
    let bundle = open(&file.display().to_string()).await.expect("opens");
    assert_eq!(bundle.names().await.expect("lists"), ["rates"]);
    assert_eq!(resolved(&*bundle, "rates@stable").await, "1.0.0");
    let fresh = Downloads::new(folder.path().join("elsewhere"));
    fetch(&*bundle, &requirement("rates@1.1.0"), Some(TARGET), &fresh).await.expect("fetches");
    let file = archive(folder.path(), "rates", "2.0.0", 1);
    let error = publish_signed(&*bundle, &file, &[], 1).await.expect_err("only read from");
    assert_eq!(error.code(), "LS0811");
}

#[tokio::test]
async fn a_file_that_is_no_bundle_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let whole = {
        let from = folder_with(folder.path(), &["1.0.0"]).await;
        let file = folder.path().join("whole.bundle");
        write_bundle(Path::new(from.address()), &file).expect("packs");
        std::fs::read(file).expect("reads")
    };
    let file = folder.path().join("cut.bundle");
    for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..cut]).expect("writes");
        let Err(error) = open(&file.display().to_string()).await else { panic!("{cut} bytes opened") };
        assert_eq!(error.code(), "LS0813", "{cut}");
    }
}

#[tokio::test]
async fn a_server_of_files_is_read_from_and_cannot_be_published_to() {
    let folder = tempfile::tempdir().expect("folder");
    let written = folder_with(folder.path(), &["1.0.0", "1.1.0"]).await;
    let server = FileServer::start(written.address().into()).await;
    let registry = open(&server.address).await.expect("opens");
    assert_eq!(registry.names().await.expect("lists"), ["rates"]);
    assert_eq!(resolved(&*registry, "rates@^1").await, "1.1.0");
    assert_eq!(resolved(&*registry, "dates").await, "LS0803");
    let downloads = Downloads::new(folder.path().join("downloads"));
    fetch(&*registry, &requirement("rates@^1"), Some(TARGET), &downloads).await.expect("fetches");
    let file = archive(folder.path(), "rates", "2.0.0", 1);
    let error = publish_signed(&*registry, &file, &[], 1).await.expect_err("only read from");
    assert_eq!(error.code(), "LS0811");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publish_at_once_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("folder");
    let registry = folder_with(folder.path(), &["0.1.0"]).await;
    let versions: Vec<String> = (1..=8).map(|n| format!("1.{n}.0")).collect();
    let tasks: Vec<_> = versions
        .iter()
        .map(|version| {
            let (registry, file) = (registry.clone(), archive(folder.path(), "rates", version, 1));
            tokio::spawn(async move { publish(&*registry, &file).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("publishes");
    }
    assert_eq!(registry.index(&"rates".into()).await.expect("reads").releases.len(), 9);
}
