//! Registries of containers send their lists as they like.

use crate::support::{archive, publish};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use longshore_registry::{Edit, Yanked, open};
use longshore_testing::container_registry;
use serde_json::json;
use std::net::SocketAddr;

/// The way in which a registry sends its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paging {
    /// Two at once, whatever was asked for.
    Short,
    /// All at once, whatever was asked for.
    Everything,
}

/// A registry in front of another one, which sends its tags in its own way.
#[derive(Clone)]
struct Front {
    upstream: String,
    paging: Paging,
    client: reqwest::Client,
}

impl Front {
    /// Starts it, and returns its address.
    async fn start(upstream: &str, paging: Paging) -> String {
        let upstream = upstream.trim_end_matches("/team").replace("oci+http", "http");
        let front = Self { upstream, paging, client: reqwest::Client::new() };
        let listener =
            tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("binds");
        let address = format!("oci+http://{}/team", listener.local_addr().expect("bound"));
        let app = Router::new().fallback(answer).with_state(front);
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    fn page(&self, mut tags: Vec<String>, last: Option<&str>) -> Vec<String> {
        tags.sort();
        if self.paging == Paging::Short {
            tags.retain(|tag| last.is_none_or(|last| tag.as_str() > last));
            tags.truncate(2);
        }
        tags
    }
}

async fn answer(
    State(front): State<Front>,
    (method, uri, headers): (Method, Uri, HeaderMap),
) -> Response<Body> {
    let forwarded = front.client.request(method, format!("{}{}", front.upstream, uri.path()));
    let upstream = forwarded.headers(headers).send().await.expect("answers");
    if uri.path().ends_with("/tags/list") && upstream.status().is_success() {
        let list: serde_json::Value =
            serde_json::from_str(&upstream.text().await.expect("text")).expect("JSON");
        let tags: Vec<String> = serde_json::from_value(list["tags"].clone()).expect("tags");
        let last = uri.query().unwrap_or_default().split('&').find_map(|part| part.strip_prefix("last="));
        let page = json!({ "name": list["name"], "tags": front.page(tags, last) });
        return Response::new(page.to_string().into());
    }
    let mut response = Response::builder().status(upstream.status());
    for (name, value) in upstream.headers() {
        response = response.header(name, value);
    }
    response.body(Body::from(upstream.bytes().await.expect("arrives"))).expect("an answer")
}

#[tokio::test]
async fn every_tag_is_found_however_they_are_sent() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_server, address)) = container_registry(folder.path()) else { return };
    let registry = open(&address).await.expect("opens");
    for version in ["1.0.0", "1.1.0", "1.10.0", "1.9.0", "2.0.0"] {
        publish(&*registry, &archive(folder.path(), "rates", version, 1)).await;
    }
    let promote = Edit::Promote { channel: "stable".into(), version: "1.9.0".parse().expect("a version") };
    registry.edit(&"rates".into(), promote).await.expect("promotes");
    let mut expected = registry.index(&"rates".into()).await.expect("reads");
    assert_eq!(expected.releases.len(), 5);
    for paging in [Paging::Short, Paging::Everything] {
        let front = open(&Front::start(&address, paging).await).await.expect("opens");
        assert_eq!(front.index(&"rates".into()).await.expect("reads"), expected);
        // What was read before, and what was changed since.
        assert_eq!(front.index(&"rates".into()).await.expect("reads"), expected);
        let reason = format!("{paging:?}");
        let (version, yanked) = ("1.0.0".parse().expect("a version"), Some(Yanked { reason }));
        expected = registry.edit(&"rates".into(), Edit::Yank { version, yanked }).await.expect("yanks");
        assert_eq!(front.index(&"rates".into()).await.expect("reads"), expected);
    }
}

#[tokio::test]
async fn names_with_capital_letters_are_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_server, address)) = container_registry(folder.path()) else { return };
    let registry = open(&address).await.expect("opens");
    let file = archive(folder.path(), "Rates", "1.0.0", 1);
    let error = longshore_registry::publish(&*registry, &file, &[], 1).await.expect_err("refused");
    assert_eq!(error.code(), "LS0815", "{error}");
}
