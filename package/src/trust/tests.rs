use super::*;
use crate::digest::digest_of_files;
use longshore_workflow::names::{Digest, PackageName};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, PrivateKey};
use std::collections::BTreeSet;
use std::path::Path;

fn key() -> PrivateKey {
    PrivateKey::random(&mut OsRng, Algorithm::Ed25519).expect("a key")
}

fn digest(name: &str) -> Digest {
    digest_of_files([(name, "sum")])
}

fn public(key: &PrivateKey) -> String {
    key.public_key().to_openssh().expect("a public key")
}

fn signers(allowed: &str, revoked: &str) -> Signers {
    let mut signers = Signers::default();
    signers.add_allowed(allowed, Path::new("allowed")).expect("reads");
    signers.add_revoked(revoked, Path::new("revoked")).expect("reads");
    signers
}

#[test]
fn a_signature_is_of_one_digest_by_one_key_and_survives_its_text() {
    for algorithm in [
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    ] {
        let key = PrivateKey::random(&mut OsRng, algorithm).expect("a key");
        let signed = Signature::sign(&key, Role::Builder, &digest("a")).expect("signs");
        assert!(signed.is_of(&digest("a")) && !signed.is_of(&digest("b")));
        let text = signed.armored() + "\n" + &signed.armored();
        assert_eq!(Signature::parse_all(&text, "text").expect("reads"), [signed.clone(), signed.clone()]);
        assert_eq!(
            (signed.role(), signed.fingerprint()),
            (Some(Role::Builder), key.fingerprint(ssh_key::HashAlg::Sha256).to_string())
        );
    }
}

#[test]
fn a_key_that_is_locked_does_not_sign() {
    let locked = key().encrypt(&mut OsRng, "passphrase").expect("encrypts");
    let error = Signature::sign(&locked, Role::Author, &digest("a")).expect_err("locked");
    assert_eq!(error.code(), "LS0118");
}

#[test]
fn texts_that_are_not_signatures_are_refused() {
    let good = Signature::sign(&key(), Role::Author, &digest("a")).expect("signs").armored();
    let code = |text: &str| Signature::parse_all(text, "text").expect_err("bad").code();
    assert_eq!(code("hello"), "LS0117");
    assert_eq!(code(&good[..good.len() - 40]), "LS0117", "cut");
    assert_eq!(code(&good.replacen("U1NI", "V1NI", 1)), "LS0117", "other bytes");
    assert_eq!(code(&good.repeat(MAX_SIGNATURES + 1)), "LS0104", "too many");
    let long = good.replace("-----END", &format!("{}\n-----END", "A".repeat(MAX_SIGNATURE)));
    assert_eq!(code(&long), "LS0104", "too long");
    for cut in 0..good.len() {
        let read = Signature::parse_all(&good[..cut], "text");
        assert!(read.map_or(true, |read| read.is_empty() || cut + 1 == good.len()), "{cut}");
    }
}

#[test]
fn each_signature_is_judged_by_the_line_of_its_key() {
    let (alice, bob, eve) = (key(), key(), key());
    let day = |text: &str| format!("valid-after=\"{text}Z\"");
    let allowed = format!(
        "# people\nalice@example.org {}\nbob@example.org namespaces=\"longshore-builder\",{},valid-before=\"20300101Z\" {} bob\n",
        public(&alice),
        day("20200101"),
        public(&bob)
    );
    let at = |text: &str| {
        let day = chrono::NaiveDate::parse_from_str(text, "%Y%m%d").expect("a day");
        day.and_hms_opt(0, 0, 0).expect("midnight").and_utc().timestamp_millis()
    };
    let judged = |signers: &Signers, key: &PrivateKey, role, of: &str, when: &str| {
        let signature = Signature::sign(key, role, &digest(of)).expect("signs");
        signers.judge(&signature, &digest("a"), at(when)).status
    };
    let store = signers(&allowed, "");
    let valid = |principals: &str| SignatureStatus::Valid { principals: vec![principals.to_owned()] };
    assert_eq!(judged(&store, &alice, Role::Author, "a", "20250101"), valid("alice@example.org"));
    assert_eq!(judged(&store, &alice, Role::Author, "b", "20250101"), SignatureStatus::Forged);
    assert_eq!(judged(&store, &eve, Role::Author, "a", "20250101"), SignatureStatus::Unknown);
    assert_eq!(judged(&store, &bob, Role::Builder, "a", "20250101"), valid("bob@example.org"));
    assert_eq!(judged(&store, &bob, Role::Author, "a", "20250101"), SignatureStatus::NamespaceNotAllowed);
    let from = at("20200101");
    assert_eq!(judged(&store, &bob, Role::Builder, "a", "20191231"), SignatureStatus::NotYetValid { from });
    let since = at("20300101");
    assert_eq!(judged(&store, &bob, Role::Builder, "a", "20300101"), SignatureStatus::Expired { since });
    let print = alice.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    for revoked in [public(&alice), print] {
        let store = signers(&allowed, &revoked);
        assert_eq!(judged(&store, &alice, Role::Author, "a", "20250101"), SignatureStatus::Revoked);
    }
    let git =
        alice.sign("git", ssh_key::HashAlg::Sha512, signed_text(&digest("a")).as_bytes()).expect("signs");
    let git = git.to_pem(ssh_key::LineEnding::LF).expect("armored");
    let git = Signature::parse_all(&git, "git").expect("reads").remove(0);
    assert_eq!(store.judge(&git, &digest("a"), 0).status, SignatureStatus::OtherNamespace);
}

#[test]
fn lines_that_do_not_read_are_refused_with_their_number() {
    let good = public(&key());
    let allowed = |text: &str| match Signers::default().add_allowed(text, Path::new("allowed")) {
        Err(error) => (error.code(), error.to_string()),
        Ok(()) => panic!("{text} was read"),
    };
    for bad in [
        "alice".to_owned(),
        "alice ssh-ed25519 AAAA".to_owned(),
        format!("alice cert-authority {good}"),
        format!("alice namespaces=\"longshore\",colour=red {good}"),
        format!("alice valid-after=\"yesterday\" {good}"),
        format!("\"alice {good}"),
        format!("alice namespaces=longshore {good}"),
        format!("alice namespaces=\"longshore\", {good}"),
        format!("alice valid-before=\"20200101\",valid-before=\"20990101\" {good}"),
    ] {
        let (code, text) = allowed(&format!("# a comment\n\n{bad}\n"));
        assert!(code == "LS0119" && text.starts_with("allowed, line 3: "), "{text}");
    }
    let mut signers = Signers::default();
    signers
        .add_allowed(&format!("alice {good} says \"hi\n"), Path::new("allowed"))
        .expect("a comment is a comment");
    let krl = Signers::default().add_revoked("SSHKRL\n", Path::new("revoked")).expect_err("binary");
    assert_eq!(krl.code(), "LS0119");
}

/// A policy in a folder of its own, with the lists that it names.
fn trust(policy: &str, allowed: &str) -> Result<TrustPolicy, crate::Error> {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
    write("trust.toml", policy);
    write("allowed", allowed);
    write("revoked", "");
    TrustPolicy::read(&folder.path().join("trust.toml"))
}

#[test]
fn a_package_needs_what_the_first_rule_for_each_of_its_tenants_says() {
    let (alice, ci) = (key(), key());
    let allowed = format!("alice@example.org {}\nci@example.org {}\n", public(&alice), public(&ci));
    let policy = "policy = \"warn\"\nallowed_signers = \"allowed\"\nrevoked_keys = [\"revoked\"]\n\
                  [[rules]]\npackages = [\"internal-*\"]\npolicy = \"off\"\n\
                  [[rules]]\ntenants = [\"acme\"]\npolicy = \"require\"\nroles = [\"author\", \"builder\"]\n\
                  [[rules]]\npackages = [\"billing\"]\npolicy = \"require\"\nsigners = [\"alice@example.org\"]\n";
    let trust = trust(policy, &allowed).expect("reads");
    let downgrade = |name: &str| trust.downgrade(&PackageName::from(name), &BTreeSet::new());
    assert_eq!((downgrade("other"), downgrade("billing")), (OnDowngrade::Allow, OnDowngrade::Refuse));
    let findings = |signed: &[(&PrivateKey, Role)]| -> Vec<JudgedSignature> {
        let of = |(key, role): &(&PrivateKey, Role)| {
            let signature = Signature::sign(key, *role, &digest("a")).expect("signs");
            trust.signers.judge(&signature, &digest("a"), 0)
        };
        signed.iter().map(of).collect()
    };
    let decide = |name: &str, tenants: &[&'static str], signed: &[(&PrivateKey, Role)]| {
        let tenants: BTreeSet<&str> = tenants.iter().copied().collect();
        match trust.decide(&PackageName::from(name), &tenants, &findings(signed)) {
            Admission::Unchecked => "off".to_owned(),
            Admission::Trusted { by } => format!("trusted {}", by.len()),
            Admission::Untrusted { is_refused: true, reasons } => format!("refused: {}", reasons[0]),
            Admission::Untrusted { is_refused: false, reasons } => format!("warned: {}", reasons[0]),
        }
    };
    let (author, builder) = ((&alice, Role::Author), (&ci, Role::Builder));
    assert_eq!(decide("internal-x", &["acme"], &[]), "off");
    assert_eq!(decide("other", &["public"], &[]), "warned: it is not signed by somebody who may sign");
    assert_eq!(decide("other", &[], &[author]), "trusted 1");
    assert_eq!(
        decide("other", &["acme"], &[author]),
        "refused: it is not signed by somebody who may sign as its builder"
    );
    assert_eq!(decide("other", &["acme"], &[author, builder]), "trusted 2");
    assert_eq!(decide("billing", &["public"], &[builder]), "refused: it is not signed by alice@example.org");
    assert_eq!(decide("billing", &["public"], &[author]), "trusted 1");
    assert!(decide("billing", &["public", "acme"], &[author]).starts_with("refused"), "both have to be met");
}

#[test]
fn a_rule_has_what_it_does_not_say_from_the_top_and_names_signers_by_patterns() {
    let alice = key();
    let allowed = format!("alice@acme.example {}\n", public(&alice));
    let policy = "policy = \"require\"\nallowed_signers = \"allowed\"\nroles = [\"author\"]\n\
                  [[rules]]\npackages = [\"billing\"]\nsigners = [\"*@acme.example\"]\n";
    let trust = trust(policy, &allowed).expect("reads");
    let decide = |signed: &[Role]| {
        let judge = |role: &Role| {
            let signature = Signature::sign(&alice, *role, &digest("a")).expect("signs");
            trust.signers.judge(&signature, &digest("a"), 0)
        };
        let findings: Vec<JudgedSignature> = signed.iter().map(judge).collect();
        trust.decide(&PackageName::from("billing"), &BTreeSet::new(), &findings)
    };
    assert!(matches!(decide(&[Role::Author]), Admission::Trusted { .. }));
    assert!(matches!(decide(&[Role::Builder]), Admission::Untrusted { is_refused: true, .. }));
    assert!(matches!(decide(&[]), Admission::Untrusted { is_refused: true, .. }));
}

#[test]
fn a_policy_that_does_not_read_is_refused() {
    let code = |policy: &str| trust(policy, "").expect_err("bad").code();
    assert_eq!(code("policy = \"require\"\n"), "LS0120", "no signers");
    assert_eq!(code("policy = \"maybe\"\nallowed_signers = \"allowed\"\n"), "LS0120");
    assert_eq!(code("polcy = \"require\"\nallowed_signers = \"allowed\"\n"), "LS0120");
    assert_eq!(
        code("policy = \"off\"\nallowed_signers = \"allowed\"\n[[rules]]\nnames = [\"x\"]\n"),
        "LS0120"
    );
    assert_eq!(code("policy = \"warn\"\nallowed_signers = \"nowhere\"\n"), "LS0101");
    let required = trust("policy = \"require\"\nallowed_signers = \"allowed\"\n", "").expect("reads");
    let downgrade = required.downgrade(&PackageName::from("p"), &BTreeSet::new());
    assert_eq!(downgrade, OnDowngrade::Refuse, "what is signed is not taken back by itself");
    // What would mean nothing is refused: it was meant.
    assert_eq!(code("allowed_signers = \"allowed\"\nroles = [\"author\"]\n"), "LS0120", "no policy");
    assert_eq!(code("policy = \"off\"\nsigners = [\"a\"]\nallowed_signers = \"allowed\"\n"), "LS0120");
}

#[test]
fn signatures_travel_inside_an_archive_and_change_nothing_else() {
    use crate::{Archive, ArchiveLimits, Manifest, pack, target_path, with_signatures};
    use std::io::Cursor;
    let manifest = "[package]\nname = \"p\"\nversion = \"1.0.0\"\nsdk = \"0.1.0\"\ninterface = 2\n";
    let manifest = Manifest::parse(manifest).expect("good");
    let (digest, bytes) =
        pack(&manifest, &[(target_path("here", "libp.so"), b"code".to_vec())]).expect("packs");
    let path = Path::new("p.longshore");
    let open = |bytes: &[u8]| {
        Archive::read(Cursor::new(bytes.to_vec()), path, ArchiveLimits::default()).expect("opens")
    };
    let author = Signature::sign(&key(), Role::Author, &digest).expect("signs");
    let builder = Signature::sign(&key(), Role::Builder, &digest).expect("signs");
    let once = with_signatures(&bytes, std::slice::from_ref(&author), path).expect("adds");
    let twice = with_signatures(&once, std::slice::from_ref(&builder), path).expect("adds");
    assert_eq!(with_signatures(&bytes, &[builder.clone(), author.clone()], path).expect("adds"), twice);
    assert_eq!(
        with_signatures(&twice, std::slice::from_ref(&author), path).expect("adds"),
        twice,
        "once for a key"
    );
    let other = Signature::sign(&key(), Role::Author, &digest_of_files([("other", "sum")])).expect("signs");
    assert_eq!(with_signatures(&bytes, &[other], path).expect_err("of another package").code(), "LS0117");
    let many: Vec<Signature> = (0..=MAX_SIGNATURES)
        .map(|_| Signature::sign(&key(), Role::Author, &digest).expect("signs"))
        .collect();
    assert_eq!(with_signatures(&bytes, &many, path).expect_err("too many").code(), "LS0104");
    let mut archive = open(&twice);
    assert_eq!(*archive.digest(), digest);
    assert_eq!(archive.signatures().expect("reads"), [author, builder]);
    assert_eq!(archive.library("here").expect("library").bytes, b"code");
}
