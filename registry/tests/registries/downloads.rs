//! Downloads from servers that break off, lie, or are gone.

use crate::support::folder_with;
use longshore_registry::{Downloads, Error, Registry, Release, Requirement, fetch, open};
use longshore_testing::{Faults, FileServer};
use std::sync::Arc;

/// A server of one release, and a folder for what is fetched.
struct Setup {
    server: FileServer,
    registry: Arc<dyn Registry>,
    release: Release,
    downloads: Downloads,
    folder: tempfile::TempDir,
}

impl Setup {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let written = folder_with(folder.path(), &["1.0.0"]).await;
        let server = FileServer::start(written.address().into()).await;
        let registry = open(&server.address).await.expect("opens");
        let release = written.index(&"rates".into()).await.expect("reads").releases[0].clone();
        let downloads = Downloads::new(folder.path().join("downloads"));
        Self { server, registry, release, downloads, folder }
    }

    async fn fetch(&self) -> Result<u64, Error> {
        let requirement: Requirement = "rates".parse().expect("a requirement");
        Ok(fetch(&*self.registry, &requirement, None, &self.downloads).await?.1.downloaded)
    }

    /// The bytes that an attempt which failed has left.
    fn left(&self) -> u64 {
        let part = self.folder.path().join("downloads").join(format!("{}.part", self.release.sha256));
        std::fs::metadata(part).map(|part| part.len()).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_download_that_is_cut_again_and_again_goes_on_where_it_ended() {
    let setup = Setup::new().await;
    setup.server.set(Faults { cut_after: Some(700_000), ..Faults::default() });
    assert_eq!(setup.fetch().await.expect("arrives"), setup.release.bytes, "no byte comes twice");
    let ranges = setup.server.take_ranges();
    assert!(
        ranges.len() >= 5 && ranges[0].is_none() && ranges[1..].iter().all(Option::is_some),
        "{ranges:?}"
    );
}

#[tokio::test]
async fn a_download_cut_at_any_byte_arrives() {
    for cut in [1, 2, 1023, 65_536, 1 << 20] {
        let setup = Setup::new().await;
        setup.server.set(Faults { cut_after: Some(cut), ..Faults::default() });
        // The first attempts bring little, and then the server is well again.
        let (server, well) =
            (Arc::clone(&setup.server.faults), tokio::time::sleep(std::time::Duration::from_millis(300)));
        tokio::spawn(async move {
            well.await;
            *server.lock().expect("not poisoned") = Faults::default();
        });
        setup.fetch().await.unwrap_or_else(|error| panic!("cut after {cut}: {error}"));
    }
}

#[tokio::test]
async fn a_server_without_ranges_begins_again() {
    let setup = Setup::new().await;
    setup.server.set(Faults { cut_after: Some(700_000), ignores_ranges: true, ..Faults::default() });
    let (fetched, _) = tokio::join!(setup.fetch(), async {
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        setup.server.set(Faults { ignores_ranges: true, ..Faults::default() });
    });
    assert!(fetched.expect("arrives") > setup.release.bytes, "some bytes came again");
}

#[tokio::test]
async fn a_server_that_is_gone_leaves_what_came_and_the_next_attempt_goes_on() {
    let setup = Setup::new().await;
    setup.server.set(Faults { cut_after: Some(0), ..Faults::default() });
    let part = setup.folder.path().join("downloads");
    std::fs::create_dir(&part).expect("makes");
    let archive = setup.folder.path().join("rates-1.0.0-1.longshore");
    let bytes = std::fs::read(archive).expect("reads");
    let part = part.join(format!("{}.part", setup.release.sha256));
    std::fs::write(&part, &bytes[..1_000_000]).expect("writes");
    let error = setup.fetch().await.expect_err("gone");
    assert_eq!(error.code(), "LS0806", "{error}");
    assert_eq!(setup.left(), 1_000_000);
    setup.server.set(Faults::default());
    assert_eq!(setup.fetch().await.expect("arrives"), setup.release.bytes - 1_000_000);
    setup.server.set(Faults { status: Some(503), ..Faults::default() });
    assert_eq!(setup.fetch().await.expect_err("no index").code(), "LS0806");
}

#[tokio::test]
async fn a_part_of_something_else_is_thrown_away() {
    let setup = Setup::new().await;
    let folder = setup.folder.path().join("downloads");
    std::fs::create_dir(&folder).expect("makes");
    let part = folder.join(format!("{}.part", setup.release.sha256));
    for left in [vec![7; 1_000_000], vec![7; 9_000_000], vec![7; setup.release.bytes as usize]] {
        std::fs::write(&part, left).expect("writes");
        setup.fetch().await.expect("arrives");
        std::fs::remove_file(folder.join(format!("{}.longshore", setup.release.sha256))).expect("removes");
    }
}

#[tokio::test]
async fn a_damaged_copy_is_fetched_again() {
    let setup = Setup::new().await;
    setup.fetch().await.expect("arrives");
    let copy = setup.folder.path().join("downloads").join(format!("{}.longshore", setup.release.sha256));
    std::fs::write(&copy, "damaged").expect("writes");
    assert_eq!(setup.fetch().await.expect("arrives"), setup.release.bytes);
}

#[tokio::test]
async fn other_bytes_are_not_handed_out() {
    let setup = Setup::new().await;
    for faults in
        [Faults { flips: Some(2_000_000), ..Faults::default() }, Faults { appends: 100, ..Faults::default() }]
    {
        setup.server.set(faults);
        let error = setup.fetch().await.expect_err("other bytes");
        assert_eq!(error.code(), "LS0809", "{error}");
        assert_eq!(setup.left(), 0, "nothing of it stays");
    }
    setup.server.set(Faults::default());
    setup.fetch().await.expect("arrives");
}

#[tokio::test]
async fn an_index_that_lies_about_its_archive_is_found_out() {
    let setup = Setup::new().await;
    let index = setup.folder.path().join("registry/index/rates.json");
    let good = std::fs::read_to_string(&index).expect("reads");
    let digest = setup.release.digest.as_str();
    let lies = [
        ("\"1.0.0\"", "\"1.5.0\"", "its package: rates 1.0.0; the index says rates 1.5.0"),
        ("x86_64-unknown-linux-gnu", "riscv64gc-unknown-linux-gnu", "its builds: x86_64"),
        (digest, setup.release.sha256.as_str(), "its digest: "),
    ];
    for (from, to, message) in lies {
        let lie = good.replacen(from, to, 1);
        setup.server.set(Faults { index: Some(lie.into_bytes()), ..Faults::default() });
        let error = setup.fetch().await.expect_err(message);
        assert!(error.code() == "LS0809" && error.to_string().contains(message), "{error}");
    }
    for broken in [&b"<html>hello</html>"[..], b"", &[b' '; 17 << 20]] {
        setup.server.set(Faults { index: Some(broken.to_vec()), ..Faults::default() });
        let code = setup.fetch().await.expect_err("no index").code().to_owned();
        assert_eq!(code, "LS0808");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_credentials_and_an_address_with_some_are_refusals() {
    let setup = Setup::new().await;
    setup.server.set(Faults { authorization: Some("Bearer secret"), ..Faults::default() });
    assert_eq!(setup.fetch().await.expect_err("refused").code(), "LS0807");
    for address in ["http://bob:secret@127.0.0.1:1/x", "http://127.0.0.1:1/x?y", "http://"] {
        let Err(error) = open(address).await else { panic!("{address} opened") };
        assert!(error.code() == "LS0801" && !error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn two_fetch_the_same_at_once_and_both_have_it_whole() {
    let setup = Setup::new().await;
    let (one, two) = tokio::join!(setup.fetch(), setup.fetch());
    assert_eq!((one.expect("arrives"), two.expect("arrives")), (setup.release.bytes, setup.release.bytes));
    let folder = setup.folder.path().join("downloads");
    let files: Vec<_> =
        std::fs::read_dir(&folder).expect("lists").flatten().map(|file| file.path()).collect();
    assert_eq!(files.len(), 1, "no part stays: {files:?}");
    let published = setup.folder.path().join("rates-1.0.0-1.longshore");
    assert!(std::fs::read(&files[0]).expect("reads") == std::fs::read(published).expect("reads"));
}

#[tokio::test]
async fn a_folder_of_downloads_keeps_within_its_limit() {
    let setup = Setup::new().await;
    setup.fetch().await.expect("arrives");
    setup.downloads.keep_within(setup.release.bytes).expect("lists");
    assert_eq!(setup.fetch().await.expect("is there"), 0);
    setup.downloads.keep_within(1000).expect("lists");
    assert_eq!(setup.fetch().await.expect("arrives"), setup.release.bytes, "it was removed");
}
